"""The fewest GPUs for an algorithm that is told how many there are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from advisor.place.algorithms.items import Items, Positions
from advisor.place.judge.servers import Servers
from advisor.place.placement import Group

Deal = Callable[[int], list[Positions]]
"""From a number of GPUs to the items of each."""


def fewest(servers: Servers, items: Items, deal: Deal, *, slots: bool = False) -> list[Group]:
    """What is dealt to the fewest GPUs for which every one keeps the objective, about; or to as many as there are.

    With `slots` every adapter has a slot of its own; else their number is left to the models.
    """

    def groups(gpus: int) -> list[Group]:
        found = [items.group(each) for each in deal(gpus) if len(each)]
        return [replace(each, max_loras=len(each.adapters)) for each in found] if slots else found

    def holds(gpus: int) -> bool:
        return all(not servers.judge(group).missed for group in groups(gpus))

    if servers.problem.gpus is not None:
        return groups(servers.problem.gpus)
    count = len(items.free)
    low, high = 0, max(math.ceil(float(items.share[0][items.free].sum())), 1)
    while high < count and not holds(high):
        low, high = high, min(max(high + 1, math.ceil(1.25 * high)), count)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return groups(high)
