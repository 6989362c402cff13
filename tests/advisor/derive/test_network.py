"""Servers of more GPUs than a machine has: what the network adds to a step is told, and how far it may be off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.derive.derive import Subject, derive
from advisor.derive.gpus import gpu as gpus
from advisor.derive.llm import model_shape
from advisor.derive.network import MACHINE_GPUS, crossing
from advisor.derive.shards import counts
from advisor.errors import InputError
from advisor.zoo.derived import LORA_FROM
from advisor.zoo.pair import load_pair, shipped
from twin.profile import Profile

LLAMA = load_pair(shipped() / LORA_FROM).profile
LARGE = "meta-llama/Llama-3.1-405B-Instruct"


def derived(model: str, gpu: str, tensor_parallel: int, vllm: str = "0.33") -> Profile:
    subject = Subject(model, model_shape.find(model), gpu, gpus.find(gpu), tensor_parallel, vllm=vllm)
    return derive(subject, LLAMA, model_shape.find(LLAMA.pair.model), command="made up for tests")


def notes(profile: Profile) -> list[str]:
    assert profile.derivation is not None
    return [note for note in profile.derivation.notes if "machine" in note]


def width(profile: Profile, place: str) -> float:
    assert profile.derivation is not None
    low, high = profile.derivation.intervals[place]
    return high - low


@pytest.mark.parametrize("vllm", ["0.8.5", "0.33"])
@pytest.mark.parametrize(("several", "told"), [(8, False), (16, True), (64, True)])
def test_more_gpus_than_a_machine_has_are_told_once_and_widen_the_interval(several: int, told: bool, vllm: str) -> None:
    found, within = derived(LARGE, "h200", several, vllm), derived(LARGE, "h200", 8, vllm)
    assert len(notes(found)) == told
    if told:
        (note,) = notes(found)
        assert note.startswith(f"{several} GPUs are more than a machine has (8") and "252 sums" in note
        assert "InfiniBand" in note and "\n" not in note
        for place in ("step.base_ms", "step.per_request_ms", "step.per_eager_token_ms"):
            assert width(found, place) / getattr(found.step, place[5:]) > width(within, place) / getattr(
                within.step, place[5:]
            )


def test_the_network_takes_what_was_reckoned_of_a_large_model() -> None:
    """252 collectives of 20 to 40 us are 5 to 10 ms; NVLink of a whole rack would take none of that."""
    found = crossing(model_shape.find(LARGE), 16)
    assert found is not None
    assert 5.0 <= found.base_ms <= found.most_base_ms <= 10.1
    assert 0.0 < found.per_token_ms < found.most_per_token_ms
    step = derived(LARGE, "h100-80gb", 16).step
    alone = derived(LARGE, "h200", 8).step  # twice the weights a GPU, at 1.4 times the bandwidth
    assert step.base_ms > alone.base_ms * 4.8 / 3.35 / 2 + found.base_ms / 2


@given(st.sampled_from(sorted(model_shape.catalogue())), st.sampled_from(["h100-80gb", "b200", "l40s"]), st.data())
def test_what_crosses_the_network_lies_within_its_interval(model: str, gpu: str, data: st.DataObject) -> None:
    several = data.draw(st.sampled_from(counts(model_shape.find(model), 64)))
    assert (crossing(model_shape.find(model), several) is not None) == (several > MACHINE_GPUS)
    try:
        found = derived(model, gpu, several)
    except InputError:
        return
    assert found.derivation is not None and bool(notes(found)) == (several > MACHINE_GPUS)
    for place, (low, high) in found.derivation.intervals.items():
        section, name = place.split(".")
        assert low * (1 - 1e-4) <= getattr(getattr(found, section), name) <= high * (1 + 1e-4), place
