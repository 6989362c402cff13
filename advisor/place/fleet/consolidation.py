"""A fleet made cheaper: the largest ranks gathered, GPUs emptied into others, and cheaper types where these will do.

Nothing is taken on trust: every GPU that is changed has to hold by what judges all others, and adapters stay where they
are pinned to, apart from those that they must be apart from, and on as many GPUs as they have copies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations, count

from advisor.place.bound import least_shares
from advisor.place.fleet.fleet import Fleet, Gpu
from advisor.place.fleet.levelling import level
from advisor.place.fleet.refusal import NO_ROOM
from twin.settings import slot_rank

EMPTIED = 2
"""GPUs that are tried to be emptied, those that the least is taken of first."""
PAIRS, ROOM = 3, 0.15
"""Of the GPUs that are left, pairs that divide their adapters anew to make room, for so much of a GPU at most."""

PER_DIVISION = 2
"""Groups that are judged where two GPUs are levelled."""


def consolidated(fleet: Fleet, judged: int) -> Fleet:
    """The fleet after as much of that as may be had by judging so many groups, about: never dearer, as many placed."""
    until = fleet.servers.evaluations + judged
    best = fleet.copy()
    gather(best, until)
    if best.problem.gpus is not None:  # all that there are have a part of the load
        level(best, judged // PER_DIVISION)
        best.insert([adapter for adapter, why in best.unplaced.items() if why.startswith(NO_ROOM)])
        best.number()
        return best
    while best.servers.evaluations < until and (fewer := without_one(best, until)) is not None:
        best = fewer
    _cheapen(best, until)
    best.number()
    return best


def gather(fleet: Fleet, until: int) -> None:
    """Have adapters of large rank on few GPUs: every slot of a GPU is as large as the largest of its ranks needs.

    What makes the slots of a GPU large moves to another that has such already, which gives as much in return. What was
    refused is not tried again with GPUs like these: of thousands many are alike.
    """
    kinds = defaultdict[Hashable, int](count().__next__)
    for rank in sorted({fleet.slot_rank(gpu.adapters) for gpu in fleet.gpus.values() if gpu.adapters}, reverse=True):
        large = {number: _of_rank(fleet, number, rank) for number in fleet.gpus if fleet.gpus[number].adapters}
        large = {number: there for number, there in large.items() if there}
        taken = {number: _taken(fleet, number, there) for number, there in large.items()}
        kind = {number: kinds[_kind(fleet, number)] for number in large}
        types, refused = {fleet.gpus[number].gpu_type for number in large}, set[tuple[int, int]]()
        takers = sorted(large, key=lambda each: (-taken[each], each))
        for giver in takers[:0:-1]:
            more = {each: _taken_of(fleet, each, large[giver]) for each in types}
            for taker in takers:
                pair = kind[giver], kind[taker]
                if taker == giver or pair in refused or taken[taker] + more[fleet.gpus[taker].gpu_type] > 1.0:
                    continue
                if fleet.servers.evaluations >= until:
                    return
                if _exchanged(fleet, giver, taker, large[giver]):
                    large[taker] += large[giver]
                    taken[taker], kind[taker] = _taken(fleet, taker, large[taker]), kinds[_kind(fleet, taker)]
                    takers.remove(giver)
                    takers.sort(key=lambda each: (-taken[each], each))
                    break
                refused.add(pair)


def _kind(fleet: Fleet, number: int) -> Hashable:
    """The same for GPUs that the same becomes of, whatever moves to them or off them."""
    adapters = fleet.gpus[number].adapters
    staying = frozenset(each for each in adapters if not fleet.movable(each))
    return fleet.servers.key(fleet.gpus[number].group(fleet.copies)), staying


def without_one(fleet: Fleet, until: float = float("inf")) -> Fleet | None:
    """The fleet without one of its GPUs, with all adapters that were placed; None if none was found that holds."""
    pinned = set(fleet.problem.pins.values())
    used = [number for number, gpu in fleet.gpus.items() if gpu.adapters and number not in pinned]
    if len(fleet.gpus) == 1:
        return None
    for number in sorted(used, key=lambda each: (_taken(fleet, each, fleet.gpus[each].adapters), each))[:EMPTIED]:
        if fleet.servers.evaluations >= until:
            return None
        smaller = fleet.copy()
        adapters = smaller.gpus.pop(number).adapters
        smaller.may_open, smaller.judged_until = False, until
        smaller.insert(adapters)
        waiting = sorted(smaller.unplaced.keys() - fleet.unplaced.keys())
        held = not waiting or _divided(smaller, waiting, until)
        smaller.may_open, smaller.judged_until = fleet.may_open, fleet.judged_until
        if held:
            return smaller
    return None


def _divided(fleet: Fleet, waiting: Sequence[int], until: float) -> bool:
    """Whether two GPUs take those that wait by dividing what is on them anew; they do then."""
    used = sorted(fleet.gpus, key=lambda each: (_taken(fleet, each, fleet.gpus[each].adapters), each))
    if _taken(fleet, used[0], waiting) > ROOM or not all(fleet.movable(adapter) for adapter in waiting):
        return False
    for one, other in list(combinations(used, 2))[:PAIRS]:
        first, second = sorted((one, other), key=lambda each: -fleet.slot_rank(fleet.gpus[each].adapters))
        fixed = {each: {a for a in fleet.gpus[each].adapters if not fleet.movable(a)} for each in (first, second)}
        free = fleet.gpus[first].adapters | fleet.gpus[second].adapters | set(waiting)
        free -= fixed[first] | fixed[second]
        for order in _orders(fleet, free):
            if fleet.servers.evaluations >= until:
                return False
            parts = (Gpu(fleet.gpus[first].gpu_type, fixed[first]), Gpu(fleet.gpus[second].gpu_type, fixed[second]))
            count = _most(fleet, parts[0], order)
            if fleet.holds(parts[0], order[:count]) and fleet.holds(parts[1], order[count:]):
                fleet.gpus[first] = Gpu(parts[0].gpu_type, fixed[first] | set(order[:count]))
                fleet.gpus[second] = Gpu(parts[1].gpu_type, fixed[second] | set(order[count:]))
                for adapter in waiting:
                    del fleet.unplaced[adapter]
                return True
    return False


def _orders(fleet: Fleet, adapters: Iterable[int]) -> list[list[int]]:
    """Orders to divide adapters in: large ranks first and, of a rank, the busiest or the least busy."""
    rank = fleet.servers.mix().rank
    busiest = fleet.ordered(adapters)
    return [busiest, sorted(busiest, key=lambda each: (-rank[each], fleet.load[each], each))]


def _most(fleet: Fleet, gpu: Gpu, order: Sequence[int]) -> int:
    """As many of the first in the order as a GPU holds, by bisection."""
    low, high = 0, len(order) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fleet.holds(gpu, order[:middle]) else (low, middle)
    return low


def _exchanged(fleet: Fleet, giver: int, taker: int, adapters: Sequence[int]) -> bool:
    """Whether one GPU takes these of another, for as much in return that needs no slots as large; they are moved then.

    The one that takes them gives the rest of its load back only where it has to.
    """
    if not all(fleet.movable(each) for each in adapters) or any(
        each in fleet.gpus[taker].adapters for each in adapters
    ):
        return False
    kept = fleet.gpus[giver].adapters - set(adapters)
    if not kept and fleet.problem.gpus is not None:  # it would only be filled again
        return False
    most = fleet.slot_rank(kept) if kept else 0
    there = fleet.gpus[taker].adapters
    taken = _taken(fleet, taker, adapters)
    rank, returned, total = fleet.servers.mix().rank, list[int](), 0.0
    share = {each: _taken(fleet, taker, [each]) for each in there}
    for adapter in sorted(there, key=lambda each: (-share[each], each)):
        if fleet.movable(adapter) and rank[adapter] <= most and total + share[adapter] <= taken:
            returned.append(adapter)
            total += share[adapter]
    for back in (list[int](), returned):
        mine = Gpu(fleet.gpus[giver].gpu_type, kept | set(back))
        theirs = Gpu(fleet.gpus[taker].gpu_type, there - set(back) | set(adapters))
        if fleet.holds(theirs) and fleet.holds(mine):
            fleet.gpus[giver], fleet.gpus[taker] = mine, theirs
            if not mine.adapters:
                del fleet.gpus[giver]
            return True
    return False


def _cheapen(fleet: Fleet, until: int) -> None:
    """Have GPUs of cheaper types instead, where there are some that serve the same adapters."""
    types = fleet.problem.gpu_types
    for number in sorted(fleet.gpus, key=lambda each: (_taken(fleet, each, fleet.gpus[each].adapters), each)):
        gpu = fleet.gpus[number]
        cheaper = [each for each in range(len(types)) if types[each].price < types[gpu.gpu_type].price]
        for gpu_type in sorted(cheaper, key=lambda each: (types[each].price, each)):
            used = sum(each.gpu_type == gpu_type for each in fleet.gpus.values())
            there_is = used < fleet.problem.there_are(gpu_type)
            if fleet.servers.evaluations < until and there_is and fleet.holds(Gpu(gpu_type, gpu.adapters)):
                fleet.gpus[number] = Gpu(gpu_type, gpu.adapters)
                break


def _of_rank(fleet: Fleet, number: int, rank: int) -> list[int]:
    """Those on a GPU that make its slots as large as this rank; none where its slots are larger or smaller."""
    there, of = fleet.gpus[number].adapters, fleet.servers.mix().rank
    if fleet.slot_rank(there) != rank:
        return []
    return sorted(each for each in there if slot_rank(float(of[each])) == rank)


def _taken(fleet: Fleet, number: int, adapters: Iterable[int]) -> float:
    """What adapters take of a GPU at least (see `bound`)."""
    return _taken_of(fleet, fleet.gpus[number].gpu_type, adapters)


def _taken_of(fleet: Fleet, gpu_type: int, adapters: Iterable[int]) -> float:
    these = list(adapters)
    shares = least_shares(fleet.servers, gpu_type)[these]
    return float(sum(shares / [fleet.copies.get(each, 1) for each in these] if fleet.copies else shares))
