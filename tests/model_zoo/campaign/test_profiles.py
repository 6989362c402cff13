"""Profiles of a campaign: the same each time, possible ones, and as wide as what is derived for any model and GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from advisor.derive.derive import Subject, derive
from advisor.derive.gpus import gpu as gpus
from advisor.derive.llm import model_shape
from advisor.errors import InputError
from advisor.features.estimate import estimate
from advisor.features.served_mix import ServedMix
from model_zoo.campaign.grid import TYPICAL, Recipe, sample
from model_zoo.campaign.profiles import (
    APART,
    BASE_MS,
    COMMON,
    CONTEXTS,
    GRAPH_TOKENS,
    HELD_UP,
    KNEE_TOKENS,
    KV_TOKENS,
    LEAST_SLOTS,
    LOADING,
    MEASURED_SHARE,
    OF_LORA,
    PER_REQUEST,
    READING,
    SERVING,
    SLOT_RANK_TOKENS,
    TAIL,
    Profiles,
    draw,
)
from model_zoo.campaign.runs import most_slots
from model_zoo.training.dataset import is_held_out
from twin.profile import LORA_TERMS, Profile, load, parse

PAIRS = Path("model_zoo/pairs")
LLAMA = load(PAIRS / "llama-3.1-8b-instruct--h100-64gb" / "profile.toml")
QWEN = load(PAIRS / "qwen2.5-7b-instruct--h100-64gb" / "profile.toml")
ANY = Profiles((LLAMA, QWEN), drawn=True, seed=3)
MIXES = sample(256, seed=3)
SLACK = 0.05
"""How far beyond an end is still there, relative: what models learned does not end that sharply."""


def longest(recipe: Recipe) -> float:
    """Tokens of a request that is not refused though it is long, for its mix."""
    return TAIL[0] * (recipe.lengths.input_mean + recipe.lengths.output_mean)


def drawn() -> Iterator[Recipe]:
    """The mixes that have a Profile of their own."""
    return (recipe for recipe in MIXES if ANY.of(recipe) not in ANY.measured)


def test_a_mix_is_served_under_the_same_profile_each_time_and_in_every_process() -> None:
    for recipe in MIXES[:32]:
        assert Profiles((LLAMA, QWEN), drawn=True, seed=3).of(recipe) == ANY.of(recipe)
        assert ANY.suited(recipe) == ANY.suited(recipe)
    others = Profiles((LLAMA, QWEN), drawn=True, seed=4)
    assert sum(others.of(recipe) == ANY.of(recipe) for recipe in MIXES[:32]) < 16
    assert (ANY.name, Profiles((QWEN,)).name) == (COMMON, "qwen2.5-7b-instruct--h100-64gb")


def test_a_third_of_the_mixes_is_served_under_measured_profiles_and_each_other_has_its_own() -> None:
    of = [ANY.of(recipe) for recipe in MIXES]
    assert sum(profile in ANY.measured for profile in of) / len(of) == pytest.approx(MEASURED_SHARE, abs=0.08)
    assert min(of.count(profile) for profile in ANY.measured) > 20
    own = Counter(ANY.of(recipe).model_dump_json() for recipe in drawn())
    assert set(own.values()) == {1}
    held_out, seen = (
        {ANY.of(recipe).model_dump_json() for recipe in drawn() if is_held_out(recipe) == aside}
        for aside in (True, False)
    )
    assert held_out and seen
    assert not held_out & seen, "what models are judged by are Profiles that they have never seen"


def test_without_drawing_mixes_take_turns_under_what_was_measured() -> None:
    both = Profiles((LLAMA, QWEN))
    assert [both.of(recipe) for recipe in MIXES[:4]] == [LLAMA, QWEN, LLAMA, QWEN]
    assert [both.suited(recipe) for recipe in MIXES[:4]] == MIXES[:4]


def test_every_mix_has_a_profile_that_takes_its_long_requests() -> None:
    for recipe in MIXES:
        assert ANY.of(recipe).memory.max_model_len >= min(longest(recipe), CONTEXTS[-1])
    held_up = [ANY.of(recipe).front_end.merged_per_adapter > 0 for recipe in drawn()]
    assert np.mean(held_up) == pytest.approx(HELD_UP, abs=0.12)
    assert {ANY.of(recipe).serving for recipe in drawn()} == set(SERVING)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), tokens=st.floats(1.0, 2.0**17))
@example(seed=3366, tokens=8193.0)  # a knee at 172.67 tokens, and graphs of 173
def test_what_is_drawn_lies_within_the_ranges_and_holds_a_few_slots(seed: int, tokens: float) -> None:
    profile = draw(LLAMA, tokens, np.random.default_rng(seed))
    assert outside(profile) == {}
    assert profile.memory.max_model_len >= tokens
    assert profile.memory.max_model_len in CONTEXTS
    assert most_slots(profile, 16) >= LEAST_SLOTS
    # A knee where arithmetic takes as long as reading all weights: nothing grows before it, or before graphs end.
    step = profile.step
    knee = READING[1] * step.base_ms / step.per_eager_token_ms
    assert round(knee * (1 + 1e-9)) >= step.graph_tokens  # of which there are whole ones only
    assert parse(profile.to_toml().encode(), "drawn") == profile


def outside(profile: Profile) -> dict[str, float]:
    """What of a Profile lies outside the ranges that others are drawn from, and how far: times the nearer end."""
    step, memory, like = profile.step, profile.memory, LLAMA.step
    per_base = step.base_ms / like.base_ms
    lora = [getattr(step, name) / getattr(like, name) / per_base for name in LORA_TERMS if getattr(like, name)]
    usual_loading = LLAMA.loading.model_dump()
    of_loading = [value / usual_loading[name] for name, value in profile.loading.model_dump().items() if value]
    ranges = {
        "base_ms": (step.base_ms, BASE_MS),
        "per_request": (step.per_request_ms / step.base_ms, PER_REQUEST),
        "per_eager_token": (
            step.per_eager_token_ms / step.base_ms,
            (READING[0] / KNEE_TOKENS[1], READING[1] / KNEE_TOKENS[0]),
        ),
        "graph_tokens": (step.graph_tokens, (round(KNEE_TOKENS[0]), GRAPH_TOKENS)),
        "lora": (float(np.exp(np.mean(np.log(lora)))), (OF_LORA[0] * np.exp(-APART), OF_LORA[1] * np.exp(APART))),
        "kv_tokens": (memory.kv_tokens_base, (min(KV_TOKENS[0], 2.0 * memory.max_model_len), KV_TOKENS[1])),
        "longest_sequences": (memory.kv_tokens_base / memory.max_model_len, (2.0 - 1e-3, np.inf)),
        "slot_rank_tokens": (memory.kv_tokens_per_slot_rank, SLOT_RANK_TOKENS),
        "loading": (float(np.exp(np.mean(np.log(of_loading)))), LOADING),
        "max_model_len": (memory.max_model_len, (CONTEXTS[0], CONTEXTS[-1])),
    }
    far = {name: max(low / value, value / high) for name, (value, (low, high)) in ranges.items()}
    return {name: times for name, times in far.items() if times > 1 + SLACK}


CATALOGUED = (
    "Qwen/Qwen2.5-7B-Instruct",
    "meta-llama/Llama-3.2-3B-Instruct",
    "mistralai/Mistral-7B-Instruct-v0.3",
    "meta-llama/Llama-3.1-8B-Instruct",
    "Qwen/Qwen2.5-14B-Instruct",
    "Qwen/Qwen2.5-32B-Instruct",
    "meta-llama/Llama-3.1-70B-Instruct",
)


def derived(model: str, gpu: str) -> Profile | None:
    """On as few GPUs as hold two requests of the longest sequence beside a few slots, on eight at most."""
    for several in (1, 2, 4, 8):
        subject = Subject(model, model_shape.find(model), gpu, gpus.find(gpu), tensor_parallel=several)
        try:
            profile = derive(subject, LLAMA, model_shape.find(LLAMA.pair.model), command="made up for tests")
        except InputError:
            continue
        if most_slots(profile, 16) >= LEAST_SLOTS and profile.memory.kv_tokens_base >= 2 * profile.memory.max_model_len:
            return profile
    return None


@pytest.mark.parametrize("model", CATALOGUED)
def test_the_ranges_hold_what_is_derived_for_models_and_gpus_of_the_catalogue(model: str) -> None:
    profiles = {gpu: profile for gpu in gpus.catalogue().gpus if (profile := derived(model, gpu))}
    assert profiles
    assert {gpu: outside(profile) for gpu, profile in profiles.items() if outside(profile)} == {}


def most(recipe: Recipe, profile: Profile) -> float:
    """The most adapters of a mix in equilibrium, its base traffic left out."""
    return estimate(ServedMix(replace(recipe.adapters(TYPICAL), base=None), profile)).max_adapters


def test_a_mix_asks_as_much_of_its_profile_as_of_the_measured_one() -> None:
    """But for what more or fewer adapters in flight make of it; others ask for several times as much, or as little."""
    few = list(drawn())[:32]
    suited = [ANY.suited(recipe) for recipe in few]
    before, after = (
        np.abs(np.log([most(mix, ANY.of(each)) / most(each, LLAMA) for mix, each in zip(mixes, few, strict=True)]))
        for mixes in (few, suited)
    )
    assert np.exp(np.quantile(before, [0.5, 0.9])) == pytest.approx([3, 12], rel=0.5)
    assert np.all(np.exp(np.quantile(after, [0.5, 0.8])) < [1.1, 1.3])
    for each, other in zip(few, suited, strict=True):
        assert replace(other, rates=each.rates) == each, "nothing but its rates"
        ratio = other.rates.deal(50) / each.rates.deal(50)
        assert ratio == pytest.approx(np.full(50, ratio[0]))
