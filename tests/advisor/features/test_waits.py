"""What requests wait for: where there is enough of it, nobody; where there is less, longer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.features.vector import measure
from advisor.zoo.pair import PROFILE, shipped
from model_zoo.campaign.grid import sample
from twin.engine.simulation import simulate
from twin.profile import load
from twin.settings import slot_rank
from twin.workload import Workload

LLAMA = load(shipped() / "llama-3.1-8b-instruct--h100-64gb" / PROFILE)
MIXES = sample(64, seed=3)
WAITS = ("slot_wait", "kv_wait", "seat_wait", "prompt_wait")


def alike(count: int, rate: float, prompt: float, answer: float) -> Workload:
    return Workload.alike(
        np.full(count, rate), rank=16.0, input_mean=prompt, input_std=prompt, output_mean=answer, output_std=answer
    )


def waits(mix: Workload, slots: int) -> dict[str, float]:
    values = measure(mix, LLAMA, ttft_limit_s=2.0, max_loras=slots)
    return {name: values[name] for name in WAITS}


@given(number=st.integers(0, len(MIXES) - 1), size=st.integers(1, 300), slots=st.integers(1, 64))
def test_waits_are_numbers_and_with_a_slot_each_nobody_waits_for_one(number: int, size: int, slots: int) -> None:
    found = waits(MIXES[number].adapters(size), slots)
    assert all(0 <= wait < np.inf for wait in found.values())
    assert found["slot_wait"] == 0 or slots < size


def test_fewer_slots_make_requests_wait_for_slots_alone() -> None:
    mix = alike(200, 0.02, 200, 200)
    enough, few = waits(mix, 120), waits(mix, 24)
    assert enough["slot_wait"] < 0.01 < few["slot_wait"]
    assert max(few[name] for name in ("kv_wait", "seat_wait")) < 0.01


@pytest.mark.parametrize(
    ("slots", "count", "rate", "answer"),
    [(10, 30, 0.2, 100), (12, 30, 0.2, 100), (4, 40, 0.05, 100), (40, 200, 0.05, 200), (20, 300, 0.02, 300)],
)
def test_requests_wait_for_a_slot_about_as_long_as_in_the_twin(
    slots: int, count: int, rate: float, answer: float
) -> None:
    """From those that chance makes wait to those that wait for their turn on an overloaded server."""
    mix = alike(count, rate, 200, answer)
    settings = LLAMA.settings(max_loras=slots, max_cpu_loras=count, max_lora_rank=slot_rank(16))
    ttft_ms = [simulate(LLAMA, settings, mix, duration_s=3600.0, seed=seed).ttft_ms for seed in range(4)]
    waited_s = float(np.mean(ttft_ms)) / 1e3 - measure(mix, LLAMA, ttft_limit_s=2.0)["prompt_time"] - 0.03  # its step
    assert 1 / 2.5 < waits(mix, slots)["slot_wait"] / waited_s < 2.5


def test_long_requests_wait_for_room_and_bursts_longer() -> None:
    mix = alike(8, 0.14, 6000, 1000)
    even, bursts = waits(mix, 8), waits(replace(mix, cv=np.full(8, 4.0)), 8)
    assert 0.01 < even["kv_wait"] < bursts["kv_wait"]
