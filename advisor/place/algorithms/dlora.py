"""Baseline: load-balanced in advance, as dLoRA's proactive placement (Wu et al., OSDI 2024).

The adapter with the most expected load goes to the GPU that has least so far; ranks play no part. On the fewest GPUs
for which that works.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np

from advisor.place.algorithms.fewest import fewest
from advisor.place.algorithms.items import Positions, items_of
from advisor.place.judge.servers import Servers
from advisor.place.placement import Group


def dlora(servers: Servers) -> Iterator[list[Group]]:
    """Every GPU gets about the same load, whatever the ranks."""
    items, mix = items_of(servers), servers.mix()
    load = (mix.rate * (mix.input_mean + mix.output_mean))[items.adapter] * items.weight
    order = items.free[np.argsort(-load[items.free], kind="stable")].tolist()

    def deal(gpus: int) -> list[Positions]:
        least = [(0.0, 0, gpu) for gpu in range(gpus)]
        dealt: list[list[int]] = [[] for _ in range(gpus)]
        for item in order:
            has, count, gpu = heapq.heappop(least)
            dealt[gpu].append(item)
            heapq.heappush(least, (has + float(load[item]), count + 1, gpu))
        return [np.array(each, dtype=np.int64) for each in dealt]

    yield fewest(servers, items, deal)
