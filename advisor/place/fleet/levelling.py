"""A number of GPUs that is fixed, all at about the same load: large ranks together, pins and copies where they are.

What is on two GPUs, a full one and an empty one, is divided anew. The large ranks go to one of them, for every slot is
as large as the largest rank on its GPU needs, and of the others as many as level the two, of what each serves of its
mix. Whether both hold is judged as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from advisor.place.fleet.fleet import Fleet, Gpu
from advisor.recommend.choice.order import in_order
from twin.settings import slot_rank

LEVEL = 0.02
"""Loads that differ by no more, as shares of a GPU, are level."""
HALVINGS = 7
"""How often what is divided is halved until the loads are level."""


def level(fleet: Fleet, divisions: int) -> None:
    """Have all GPUs that there are take a part of the load, by so many divisions of two at most."""
    while _opened(fleet):
        pass
    turn, load = _turns(fleet), {number: _load(fleet, gpu) for number, gpu in fleet.gpus.items()}
    settled = set[tuple[int, int]]()
    for _ in range(divisions):
        if (pair := _uneven(load, settled)) is None:
            break
        if _divided(fleet, pair, load, turn):
            settled = {each for each in settled if not set(each) & set(pair)}
        else:
            settled.add(pair)
    for number in [number for number, gpu in fleet.gpus.items() if not gpu.adapters]:
        del fleet.gpus[number]


def _opened(fleet: Fleet) -> bool:
    """Take one more GPU into use, of the cheapest type; False where there is none."""
    types = fleet.problem.gpu_types
    by_price = sorted(range(len(types)), key=lambda each: (types[each].price, each))
    return any(fleet.open(gpu_type) is not None for gpu_type in by_price)


def _turns(fleet: Fleet) -> Mapping[int, tuple[int, int]]:
    """By which adapters are divided: the largest slots first, and of a rank in an order that keeps the mix."""
    mix, names = fleet.servers.mix(), fleet.problem.inventory.names
    asked = in_order(mix, names, np.flatnonzero(mix.rate > 0)).tolist()
    order = [*asked, *np.flatnonzero(mix.rate <= 0).tolist()]
    return {adapter: (-slot_rank(float(mix.rank[adapter])), place) for place, adapter in enumerate(order)}


def _uneven(load: Mapping[int, float], settled: set[tuple[int, int]]) -> tuple[int, int] | None:
    """The fullest GPU and the emptiest one, of those that are not level and have not been tried in vain."""
    fullest = sorted(load, key=lambda each: (-load[each], each))
    for one in fullest:
        for other in reversed(fullest):
            if load[one] - load[other] <= LEVEL:
                break
            if (one, other) not in settled:
                return one, other
    return None


def _divided(fleet: Fleet, pair: tuple[int, int], load: dict[int, float], turn: Mapping[int, tuple[int, int]]) -> bool:
    """Whether the fuller one of two GPUs becomes less full by dividing what is on both anew; it is divided then."""
    fixed = {each: {a for a in fleet.gpus[each].adapters if not fleet.movable(a)} for each in pair}

    def largest(number: int) -> tuple[int, ...]:
        """Of those that stay there, and of all that are there, the first: where large slots are, they are kept."""
        there = (fixed[number], fleet.gpus[number].adapters)
        return (*(min((turn[each][0] for each in some), default=0) for some in there), number)

    first, second = sorted(pair, key=largest)
    free = sorted(set().union(*(fleet.gpus[each].adapters - fixed[each] for each in pair)), key=turn.__getitem__)
    least, found = load[pair[0]] - LEVEL / 2, dict[int, Gpu]()
    low, high = 0, len(free)
    for _ in range(HALVINGS):
        count = (low + high) // 2
        parts = {
            first: Gpu(fleet.gpus[first].gpu_type, fixed[first] | set(free[:count])),
            second: Gpu(fleet.gpus[second].gpu_type, fixed[second] | set(free[count:])),
        }
        loads = {number: _load(fleet, part) for number, part in parts.items()}
        if max(loads.values()) < least:
            least, found, then = max(loads.values()), parts, loads
        if low >= high:
            break
        low, high = (count + 1, high) if loads[first] < loads[second] else (low, count)
    if not found or not all(fleet.holds(part) for part in found.values()):
        return False
    fleet.gpus |= found
    load |= then
    return True


def _load(fleet: Fleet, gpu: Gpu) -> float:
    return fleet.servers.load(gpu.group(fleet.copies))
