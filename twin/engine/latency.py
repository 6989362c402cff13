"""How long a step takes: the Profile's latency models, in ms."""

from __future__ import annotations

from typing import NamedTuple

from twin import lora_kernels
from twin.engine.compiled import jit
from twin.profile import Profile


class StepCost(NamedTuple):
    """The cost of a step for a given server: everything but the batch is folded in."""

    base_ms: float
    per_request_ms: float
    per_prefill_token_ms: float
    per_adapter_ms: float
    per_scanned_ms: float
    per_eager_token_ms: float = 0.0
    lora_per_token_ms: float = 0.0
    """What of the cost of a token is saved where its request names no adapter."""
    per_split_token_ms: float = 0.0
    per_adapter_shrink_ms: float = 0.0
    per_adapter_expand_ms: float = 0.0
    per_shrink_tile_ms: float = 0.0
    per_expand_tile_ms: float = 0.0
    per_arrival_ms: float = 0.0
    """Of every request that has arrived since the step before; no part of `step_ms`, for steps are repeated."""
    graph_tokens: int = 0
    """Batched tokens of the largest CUDA graph; those beyond are the eager ones."""
    merge_requests: int = 0
    """Running requests up to which the front end merges tokens; this and the next are no cost of a step, but what the
    front end does with it (see `twin.profile.FrontEnd`)."""
    merged_per_adapter: float = 0.0
    stall_every_s: float = 0.0


is_split, shrink_tiles = jit(lora_kernels.is_split), jit(lora_kernels.shrink_tiles)
shrink_work, expand_tiles = jit(lora_kernels.shrink_work), jit(lora_kernels.expand_tiles)


class StepWork(NamedTuple):
    """What a step does, loading of adapters excluded."""

    decoding: int
    """Requests that get one more token."""
    prefill_tokens: int
    base_tokens: int
    """Of all tokens, a token per decoding request included, those of requests that name no adapter."""
    adapters: int
    """In the batch."""
    scanned: int
    """Waiting requests looked at."""


def step_cost(profile: Profile, max_loras: int, max_lora_rank: int) -> StepCost:
    """Fold the Profile's step and scheduling models for so many slots of that rank (see `twin.profile.Step`).

    Without slots there is no LoRA.
    """
    if not max_loras:
        profile = profile.without_lora()
    step, scheduling, rank_tiles = profile.step, profile.scheduling, lora_kernels.rank_tiles(max_lora_rank)
    return StepCost(
        base_ms=step.base_ms + scheduling.base_ms,
        per_request_ms=step.per_request_ms + step.lora_per_token_ms + scheduling.per_request_ms,
        per_prefill_token_ms=step.lora_per_token_ms,
        per_adapter_ms=step.per_adapter_ms,
        per_scanned_ms=scheduling.per_scanned_ms,
        per_eager_token_ms=step.per_eager_token_ms,
        lora_per_token_ms=step.lora_per_token_ms,
        per_split_token_ms=step.per_split_token_ms * rank_tiles,
        per_adapter_shrink_ms=step.per_adapter_shrink_ms * rank_tiles,
        per_adapter_expand_ms=step.per_adapter_expand_ms,
        per_shrink_tile_ms=step.per_slot_shrink_ms * rank_tiles * max_loras,
        per_expand_tile_ms=step.per_slot_expand_ms * max_loras,
        per_arrival_ms=scheduling.per_arrival_ms,
        graph_tokens=step.graph_tokens,
        **profile.front_end.model_dump(exclude={"ttft_ms"}),
    )


@jit
def step_ms(cost: StepCost, work: StepWork) -> float:
    """Duration of a step."""
    tokens, adapters = work.decoding + work.prefill_tokens, work.adapters
    return (
        cost.base_ms
        + cost.per_request_ms * work.decoding
        + cost.per_prefill_token_ms * work.prefill_tokens
        + cost.per_scanned_ms * work.scanned
        + cost.per_eager_token_ms * max(tokens - cost.graph_tokens, 0)
        - cost.lora_per_token_ms * work.base_tokens
        + cost.per_split_token_ms * is_split(tokens) * (tokens - work.base_tokens)
        + (cost.per_adapter_ms + cost.per_adapter_shrink_ms * shrink_work(tokens)) * adapters
        + cost.per_shrink_tile_ms * shrink_tiles(tokens)
        + (cost.per_expand_tile_ms + cost.per_adapter_expand_ms * adapters) * expand_tiles(tokens)
    )
