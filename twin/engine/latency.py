"""How long a step takes: the Profile's latency models, in ms."""

from __future__ import annotations

from typing import NamedTuple

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
    per_arrival_ms: float = 0.0
    """Of every request that has arrived since the step before; no part of `step_ms`, for steps are repeated."""
    graph_tokens: int = 0
    """Batched tokens of the largest CUDA graph; those beyond are the eager ones."""
    merge_requests: int = 0
    """Running requests up to which the front end merges tokens; this and the next are no cost of a step, but what the
    front end does with it (see `twin.profile.FrontEnd`)."""
    merged_per_adapter: float = 0.0
    stall_every_s: float = 0.0


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


def step_cost(profile: Profile, max_loras: int) -> StepCost:
    """Fold the Profile's step and scheduling models for one number of slots (see `twin.profile.Step`); 0: no LoRA."""
    if not max_loras:
        profile = profile.without_lora()
    step, scheduling = profile.step, profile.scheduling
    return StepCost(
        base_ms=step.base_ms + step.per_slot_ms * max_loras + scheduling.base_ms,
        per_request_ms=step.per_request_ms + step.lora_per_token_ms + scheduling.per_request_ms,
        per_prefill_token_ms=step.lora_per_token_ms,
        per_adapter_ms=step.per_adapter_ms,
        per_scanned_ms=scheduling.per_scanned_ms,
        per_eager_token_ms=step.per_eager_token_ms + step.per_eager_token_slot_ms * max_loras,
        lora_per_token_ms=step.lora_per_token_ms,
        per_arrival_ms=scheduling.per_arrival_ms,
        graph_tokens=step.graph_tokens,
        **profile.front_end.model_dump(exclude={"ttft_ms"}),
    )


@jit
def step_ms(cost: StepCost, work: StepWork) -> float:
    """Duration of a step."""
    return (
        cost.base_ms
        + cost.per_request_ms * work.decoding
        + cost.per_prefill_token_ms * work.prefill_tokens
        + cost.per_adapter_ms * work.adapters
        + cost.per_scanned_ms * work.scanned
        + cost.per_eager_token_ms * max(work.decoding + work.prefill_tokens - cost.graph_tokens, 0)
        - cost.lora_per_token_ms * work.base_tokens
    )
