"""Whether a batch has room for what requests in flight hold, by Little's law."""

from __future__ import annotations

import math
from collections.abc import Mapping

from advisor.features.queueing import Number
from advisor.features.tokens import held_tokens
from twin.settings import Settings
from twin.workload import Workload

DEVIATIONS = 4.0
"""By so many standard deviations requests in flight may hold more than usual: near the limit a preempted request is
computed again, which brings more into flight. Of 72 answers for mixes of all kinds at 0.45 to 0.7 of the memory, 10
were not steady with 2 deviations, 3 with 3, and 2 with 4 and 5 % fewer adapters than with 2."""
KEPT_FREE, FEW_REQUESTS = 1.0, 30.0
"""Standard deviations of what requests hold that are to be free in a KV cache that holds fewer requests than that, of
which each one that is preempted is a large part. Of 67 mixes left out, each answer served in 16 further hours, 3, 2 and
1 deviations had 6 % of the hours miss alike, and gave 12, 10 and 8 % of the throughput away; none would have 8 %
miss."""
BUDGET_SHARE = 0.8
"""Of the token budget of a step; prompts come in lumps, and beyond that they wait for each other."""


def roomy(kv_requests: Number, kv_spare: Number) -> Number:
    """Whether a KV cache has room for chance, by the features of these names: numbers or arrays.

    The models know how likely a steady hour is, but not that here requests would wait without end in the other ones.
    """
    return (kv_requests >= FEW_REQUESTS) | (kv_spare >= KEPT_FREE)


def crowded(features: Mapping[str, float], kv_capacity_tokens: int) -> tuple[str, ...]:
    """That the KV cache has none, with its numbers; nothing where it has."""
    if roomy(features["kv_requests"], free := features["kv_spare"]):
        return ()
    held = f"requests in flight hold {min(features['slots_kv'], 1):.0%} of them on average"
    spare = f"{max(free, 0):.1f} standard deviations are free, fewer than {KEPT_FREE:g}"
    return (f"KV cache {kv_capacity_tokens:,} tokens: {held}, and {spare}",)


def shortages(
    mix: Workload, features: Mapping[str, float], itl_ms: float, kv_capacity_tokens: int, settings: Settings
) -> list[str]:
    """What is too small for the requests in flight, each with its numbers; empty where there is room.

    `itl_ms` is the mean time of an answer token, expected where nothing is short.
    """
    mix = mix.traffic
    share = mix.rate / mix.rate.sum()
    running = features["rate"] * features["output_mean"] * itl_ms / 1e3
    context = held_tokens(mix)
    # Requests of bursty adapters come in groups, so that their number varies by so much more.
    bursts = max(float(share @ mix.cv**2), 1.0)
    sizes = (features["input_spread"] * features["input_mean"]) ** 2
    sizes += (features["output_spread"] * features["output_mean"]) ** 2
    spread = math.sqrt(running * (bursts * context**2 + sizes))
    held = running * context + DEVIATIONS * spread
    seats = running + DEVIATIONS * math.sqrt(running * bursts)
    batched = running + features["rate"] * features["input_mean"] * itl_ms / 1e3
    missed = []
    if held > kv_capacity_tokens:
        missed.append(f"KV cache {kv_capacity_tokens:,} tokens < {held:,.0f} that requests in flight hold at times")
    if seats > settings.max_num_seqs:
        missed.append(f"max_num_seqs {settings.max_num_seqs:,} < {seats:,.0f} requests in flight at times")
    if batched > BUDGET_SHARE * settings.max_num_batched_tokens:
        missed.append(
            f"{batched:,.0f} tokens of a step on average > {BUDGET_SHARE:.0%} of max_num_batched_tokens "
            f"{settings.max_num_batched_tokens:,}, beyond which prompts wait for each other"
        )
    return missed
