"""Deal items out evenly, so that every GPU has the same mix, of one rank or of neighbouring ones.

Where requests come in bursts or differ much in length, adapters that are alike may be too much for any GPU, alone or
together, which among others hold: times are means over all requests of a GPU, and few that wait are lost in many that
do not. GPUs that are filled in an order then end with hardly anything on them, or on nothing.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np

from advisor.place.algorithms.items import Floats, Items, Positions
from advisor.place.judge.servers import Servers
from twin.settings import slot_rank

STRIDE = 1.15
"""Times the GPUs are tried next where fewer than half of them hold."""
MOST = 8.0
"""Times the GPUs that items take at least: to more they are not dealt out, but left to whoever has room for them."""
LEAD = 2
"""By so many more GPUs that do not hold than do, so many GPUs are given up, and the rest of them is not judged."""


def evenly(share: Floats, order: Positions, gpus: int) -> list[Positions]:
    """Places of the shares on each of so many GPUs: the next one always to the GPU that has least so far."""
    least = [(0.0, 0, gpu) for gpu in range(gpus)]
    dealt: list[list[int]] = [[] for _ in range(gpus)]
    for each in order.tolist():
        has, count, gpu = heapq.heappop(least)
        dealt[gpu].append(each)
        heapq.heappush(least, (has + float(share[each]), count + 1, gpu))
    return [np.array(each, dtype=np.int64) for each in dealt]


def deal_by_rank(
    servers: Servers, items: Items, some: Positions, *, until: float, most: float = math.inf
) -> list[Positions]:
    """Items of each GPU, all of which hold: ranks apart, neighbours together where that takes fewer GPUs.

    Who was not dealt out when so many groups had been judged, or could not be, not even a rank of them to so many GPUs
    at most, is on none.
    """
    rank = np.array([slot_rank(float(each)) for each in servers.mix().rank[items.adapter[some]]], dtype=np.int64)
    parts = [some[rank == each] for each in np.unique(rank)]
    dealt = [_fewest(servers, items, part, until, most) for part in parts]
    place = 0
    while place + 1 < len(parts) and servers.evaluations < until:
        joined, apart = np.concatenate(parts[place : place + 2]), dealt[place] + dealt[place + 1]
        all_placed = sum(map(len, apart)) == len(joined)
        together = _fewest(servers, items, joined, until, len(apart) - 1 if all_placed else most)
        if _cost(together) < _cost(apart):
            parts[place : place + 2], dealt[place : place + 2] = [joined], [together]
        else:
            place += 1
    return [gpu for each in dealt for gpu in each]


def _cost(dealt: Sequence[Positions]) -> tuple[int, int]:
    """What is better the less it is: items that are on none, but for a constant, then GPUs."""
    return -sum(len(gpu) for gpu in dealt), len(dealt)


def _fewest(servers: Servers, items: Items, some: Positions, until: float, most: float) -> list[Positions]:
    """The items dealt out to few GPUs that hold, at most so many; what did not hold is dealt out anew."""
    mix = servers.mix().take(items.adapter[some])
    load = mix.rate * items.weight[some] * (mix.input_mean + mix.output_mean)
    share = items.share[0][some]
    found: list[Positions] = []
    left, gpus = np.arange(len(some)), max(math.ceil(float(share.sum())), 1)
    most = min(most, max(MOST * float(share.sum()), 1.0))
    while len(left) and len(found) + gpus <= most and servers.evaluations < until:
        holding, failing = list[Positions](), [left]
        for size in (load, share):
            dealt = evenly(size, left[np.argsort(-size[left], kind="stable")], min(gpus, len(left)))
            now = _held(servers, items, some, dealt)
            if len(now[0]) > len(holding):
                holding, failing = now
            if not failing:
                break
        if len(holding) >= len(failing):
            found += holding
            left, gpus = np.concatenate([left[:0], *failing]), len(failing) + 1
        else:
            gpus = math.ceil(STRIDE * gpus + 0.5)
    return [some[each] for each in found]


def _held(
    servers: Servers, items: Items, some: Positions, dealt: Sequence[Positions]
) -> tuple[list[Positions], list[Positions]]:
    """Of the GPUs, those that hold and the others; once too many fail, the rest is not asked."""
    holding: list[Positions] = []
    failing: list[Positions] = []
    for gpu in dealt:
        hopeless = len(failing) > len(holding) + LEAD
        held = not hopeless and not servers.judge(items.group(some[gpu])).missed
        (holding if held else failing).append(gpu)
    return holding, failing
