"""What adapters ask of whatever GPU they are on, as the bound counts it: every average at its best."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.profile import Profile
from twin.settings import LORA_RANKS
from twin.workload import Workload

Floats = NDArray[np.float64]


class Demand(NamedTuple):
    """What each adapter asks of whatever GPU it is on; arrays of shape (N,)."""

    rank: Floats
    """Of the slots that it needs at least."""
    traffic: Floats
    """Bursts per second times answer tokens: it is in the batch of 1 - exp(-traffic t) of the steps."""
    time: Floats
    """Of its tokens, s per second."""
    tokens: Floats
    """Batched tokens per second."""
    lumps: Floats
    """Of these, those of prompts beyond the largest CUDA graph, as prompts come in one piece."""
    requests: Floats
    """Requests per second times the steps of each."""
    held: Floats
    """KV tokens x steps per second."""


def demand_of(mix: Workload, profile: Profile) -> Demand:
    """What the adapters ask, all of which are asked at times."""
    excess = np.maximum(mix.cv**2 - 1, 1e-9)
    decodes = np.maximum(mix.output_mean - 1, 0.0)
    squares = mix.output_mean**2 + mix.output_std**2
    step = profile.step
    per_decode_ms = step.per_request_ms + step.lora_per_token_ms + profile.scheduling.per_request_ms
    ranks = np.array(LORA_RANKS, dtype=np.float64)
    mix = _computed(mix)
    return Demand(
        rank=ranks[np.searchsorted(ranks, mix.rank)],
        traffic=mix.rate * np.log1p(excess) / excess * mix.output_mean,
        time=mix.rate * (decodes * per_decode_ms + mix.input_mean * step.lora_per_token_ms) / 1e3,
        tokens=mix.rate * (decodes + mix.input_mean),
        # Of lengths that vary the mean is no less: what is beyond is convex.
        lumps=mix.rate * np.maximum(mix.input_mean - step.graph_tokens, 0.0),
        requests=mix.rate * mix.output_mean,
        held=mix.rate * (_prompt_steps(mix) + np.maximum(squares - mix.output_mean, 0.0) / 2),
    )


def base_demand(base: Workload, profile: Profile) -> Demand:
    """What requests ask that name no adapter: no slot, and none of the time that an adapter takes."""
    step = profile.step.model_copy(update={"lora_per_token_ms": 0.0})
    found = demand_of(base, profile.model_copy(update={"step": step}))
    nothing = np.zeros(len(base))
    return found._replace(rank=nothing, traffic=nothing)


def _computed(mix: Workload) -> Workload:
    """The same with what is computed and held of the prompts: all but what they begin alike with, which costs once."""
    if mix.shared_prefix is None:
        return mix
    return replace(mix, input_mean=np.maximum(mix.input_mean - mix.shared_prefix, 1e-9), shared_prefix=None)


def _prompt_steps(mix: Workload) -> Floats:
    """Prompt tokens times the steps that they are held for, mean over requests; where nobody can know, the least."""
    product = mix.input_mean * mix.output_mean
    lognormal = product * np.exp(
        mix.correlation
        * np.sqrt(np.log1p((mix.input_std / mix.input_mean) ** 2) * np.log1p((mix.output_std / mix.output_mean) ** 2))
    )
    least = np.minimum(product, lognormal)
    for laws in (mix.input_quantiles, mix.output_quantiles, mix.tables):
        if laws and (mix.correlation < 0 or laws is mix.tables):
            least = np.where([law is not None for law in laws], mix.output_mean, least)
    return least
