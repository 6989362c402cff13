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
    graph_tokens: int = 0
    """Batched tokens of the largest CUDA graph; those beyond are the eager ones."""
    merge_requests: int = 0
    """Running requests up to which the front end merges tokens (see `twin.profile.FrontEnd`); no cost."""


def step_cost(profile: Profile, max_loras: int) -> StepCost:
    """Fold the Profile's step and scheduling models for one number of slots (see `twin.profile.Step`)."""
    step, scheduling = profile.step, profile.scheduling
    return StepCost(
        base_ms=step.base_ms + step.per_slot_ms * max_loras + scheduling.base_ms,
        per_request_ms=step.per_request_ms + step.lora_per_token_ms + scheduling.per_request_ms,
        per_prefill_token_ms=step.lora_per_token_ms,
        per_adapter_ms=step.per_adapter_ms,
        per_scanned_ms=scheduling.per_scanned_ms,
        per_eager_token_ms=step.per_eager_token_ms + step.per_eager_token_slot_ms * max_loras,
        graph_tokens=step.graph_tokens,
        merge_requests=profile.front_end.merge_requests,
    )


@jit
def step_ms(cost: StepCost, requests: int, prefill_tokens: int, adapters: int, scanned: int) -> float:
    """Duration of a step that decodes `requests` and computes `prefill_tokens`, loading of adapters excluded."""
    return (
        cost.base_ms
        + cost.per_request_ms * requests
        + cost.per_prefill_token_ms * prefill_tokens
        + cost.per_adapter_ms * adapters
        + cost.per_scanned_ms * scanned
        + cost.per_eager_token_ms * max(requests + prefill_tokens - cost.graph_tokens, 0)
    )
