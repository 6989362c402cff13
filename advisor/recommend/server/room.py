"""Whether a batch has room for what requests in flight hold, by Little's law."""

from __future__ import annotations

import math
from collections.abc import Mapping

from advisor.features.estimate import held_tokens
from twin.settings import Settings
from twin.workload import Workload

DEVIATIONS = 4.0
"""By so many standard deviations requests in flight may hold more than usual: near the limit a preempted request is
computed again, which brings more into flight. Of 72 answers for mixes of all kinds at 0.45 to 0.7 of the memory, 10
were not steady with 2 deviations, 3 with 3, and 2 with 4 and 5 % fewer adapters than with 2."""
KEPT_FREE = 3.0
"""Standard deviations of what requests hold that are to be free in the KV cache of one server. Of 446 mixes held out, 5
had requests wait for more than 10 s where the chance alone decided, and 2 with this, at the same throughput and share
of steady hours."""
BUDGET_SHARE = 0.8
"""Of the token budget of a step; prompts come in lumps, and beyond that they wait for each other."""


def crowded(features: Mapping[str, float], kv_capacity_tokens: int) -> tuple[str, ...]:
    """That the KV cache has too little room for chance, with its numbers; nothing where it has room.

    The models know how likely a steady hour is, but not that here requests would wait without end in the other ones.
    """
    if (free := features["kv_spare"]) >= KEPT_FREE:
        return ()
    held = (
        f"KV cache {kv_capacity_tokens:,} tokens, of which requests in flight hold {min(features['slots_kv'], 1):.0%}"
    )
    return (f"{held} on average: {max(free, 0):.1f} standard deviations are free, fewer than {KEPT_FREE:g}",)


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
