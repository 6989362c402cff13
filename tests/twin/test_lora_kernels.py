"""Thread blocks counted as the kernels' grids are written."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin import lora_kernels
from twin.engine.latency import StepWork, step_cost, step_ms
from twin.profile import Profile

TOKENS = st.integers(1, 4096)


def padded(tokens: int) -> int:
    """Batches up to 512 tokens are padded to the next CUDA graph: 1, 2, 4, and then every eighth."""
    return tokens if tokens > 512 else min(size for size in (1, 2, 4, *range(8, 513, 8)) if size >= tokens)


@given(TOKENS, st.sampled_from([1, 8, 16, 32, 64, 128, 512]))
def test_tiles_are_those_of_the_grids(tokens: int, rank: int) -> None:
    batch = padded(tokens)
    split = 64 if batch < 128 else 8
    shrink = split * math.ceil(batch / 32) * math.ceil(rank / 16)
    assert lora_kernels.shrink_tiles(tokens) * lora_kernels.rank_tiles(rank) * 64 == shrink
    assert lora_kernels.expand_tiles(tokens) == math.ceil(batch / 64)
    assert lora_kernels.is_split(tokens) == (split == 64)


@given(st.lists(TOKENS, min_size=1))
def test_arrays_are_as_their_numbers(tokens: list[int]) -> None:
    for tiles in (lora_kernels.shrink_tiles, lora_kernels.expand_tiles, lora_kernels.shrink_work):
        assert tiles(np.array(tokens)).tolist() == [tiles(each) for each in tokens]


@given(
    tokens=st.integers(1, 2048), adapters=st.integers(1, 300), slots=st.integers(1, 300), rank=st.sampled_from([8, 32])
)
def test_a_step_takes_what_the_formula_of_the_profile_says(
    profile: Profile, tokens: int, adapters: int, slots: int, rank: int
) -> None:
    step, scheduling, tiles = profile.step, profile.scheduling, math.ceil(rank / 16)
    split = tokens <= 120
    shrink, expand = math.ceil(tokens / 32) * (1 if split else 1 / 8), math.ceil(tokens / 64)
    expected = (
        step.base_ms
        + scheduling.base_ms
        + (step.per_request_ms + scheduling.per_request_ms + step.lora_per_token_ms) * tokens
        + step.per_split_token_ms * tiles * tokens * split
        + step.per_adapter_ms * adapters
        + step.per_adapter_shrink_ms * tiles * (1 if split else 0.25) * adapters
        + step.per_adapter_expand_ms * expand * adapters
        + (step.per_slot_shrink_ms * tiles * shrink + step.per_slot_expand_ms * expand) * slots
        + step.per_eager_token_ms * max(tokens - 512, 0)
    )
    work = StepWork(decoding=tokens, prefill_tokens=0, base_tokens=0, adapters=adapters, scanned=0)
    assert step_ms.py_func(step_cost(profile, slots, rank), work) == pytest.approx(expected)
