"""Baseline: rank-aware and balanced, as LoRAServe's placement (2025).

Adapters in the order of their ranks are cut into pieces of about the same load, each token counting as much as its
adapter's slot is large, so that ranks meet as few others as possible. On the fewest GPUs for which that works.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from advisor.place.algorithms.fewest import fewest
from advisor.place.algorithms.items import Positions, items_of
from advisor.place.judge.servers import Servers
from advisor.place.placement import Group

BACKBONE_RANK = 64.0
"""A token costs as much as its adapter's rank and this together: what it costs without an adapter."""


def loraserve(servers: Servers) -> Iterator[list[Group]]:
    """Every GPU gets neighbours in rank, and about the same load."""
    items, mix = items_of(servers), servers.mix()
    tokens = mix.rate * (mix.input_mean + mix.output_mean)
    load = (tokens * (mix.rank + BACKBONE_RANK))[items.adapter] * items.weight
    chance = np.random.default_rng(servers.problem.seed).permutation(len(items.free))
    order = items.free[np.lexsort((chance, -mix.rank[items.adapter[items.free]]))]
    sums = np.cumsum(load[order])

    def deal(gpus: int) -> list[Positions]:
        ends = np.searchsorted(sums, sums[-1] * np.arange(1, gpus) / gpus) if len(sums) else []
        return np.split(order, np.minimum(ends, len(order)))

    yield fewest(servers, items, deal)
