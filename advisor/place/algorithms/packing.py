"""Ours: fill GPUs in the order that suits the inventory best, level them, and try to save one more.

Every slot is as large as the largest rank on its GPU, so adapters of a rank stay together. Within a rank GPUs are
either all of the same mix, or sorted by tokens per adapter in flight: a busy server needs few slots, and its many
tokens are then cheap, while one of many adapters that are seldom asked needs many slots and has few tokens. What is
better depends on the inventory. All orders are tried, on a part of it where it is large; how much a GPU serves of
adapters in an order is learned from the pair's models, GPU by GPU. Where adapters are hard to serve but among others,
they are dealt out evenly instead (see `dealing`), and where there are too few GPUs for all, those come first of whom
the most is served (see `scarcity`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from advisor.place.algorithms.dealing import deal_by_rank, evenly
from advisor.place.algorithms.filling import FINE, Filled, fill_all
from advisor.place.algorithms.items import NOWHERE, Floats, Items, Positions, items_of
from advisor.place.algorithms.scarcity import most_served, worth
from advisor.place.bound import least_shares
from advisor.place.judge.servers import Servers
from advisor.place.placement import Group
from advisor.recommend.choice.order import admission_order

THINNED = 8.0
"""Orders are compared on so many GPUs' worth of items."""
ROUGH = 0.04
"""What a GPU serves is known well enough for that within such a share of it."""
PER_SECOND = 100
"""Groups that are judged in a second: how time is counted, so that a seed gives one placement on any machine."""
DEALING = 3
"""Times as many are judged where items are dealt out evenly, on a part of them and on all: fewer find nothing."""
FINER = 0.2
"""How much closer to what a GPU serves GPUs are filled in the end, where there is time."""
CLOSE = 0.35
"""Of a GPU: what is beyond whole GPUs may be saved by filling closer."""
STEP_S = 0.06
"""A step of a busy server, s: adapters are sorted by how many of them are in flight with such steps."""


def pack(servers: Servers) -> Iterator[list[Group]]:
    """Placements of all adapters, each better than the one before."""
    items = items_of(servers)
    types = _cheapest_first(servers)
    free = items.free
    orders = _orders(servers, items, free)
    until = servers.evaluations + PER_SECOND * servers.problem.time_s
    thinned = {name: _thinned(items, orders[name], types) for name in orders}
    costs = {name: _cost_of_part(fill_all(servers, items, part, types, fine=ROUGH)) for name, part in thinned.items()}
    best: list[Filled] = []
    by_cost = [orders[name] for name in sorted(orders, key=costs.__getitem__)]
    for found in _filled(servers, items, by_cost, types, until):
        best, order = found
        yield _groups(items, best)
    part = next(iter(thinned.values()))
    if (dealt := _dealt_by_rank(servers, items, part, min(costs.values()), best)) is not None:
        yield [items.group(each) for each in dealt]
        return
    if not best:  # nothing to fill GPUs with: no adapter is on one alone
        return
    if len(types) > 1:
        best, order, types = _other_types_first(servers, items, [order, *by_cost], types, best)
        yield _groups(items, best)
    while servers.evaluations < until and len(best) > 1:
        if _gpus(best) - (len(best) - 1) > CLOSE:
            break
        closer = fill_all(servers, items, order, types, fine=FINE * FINER)
        if _cost(servers, items, closer) >= _cost(servers, items, best):
            break
        best = closer
        yield _groups(items, best)
    fixed = servers.problem.gpus
    if fixed is not None and (dealt := _dealt(servers, items, order, fixed)) is not None:
        yield [items.group(each) for each in dealt]
        return
    fewer, count = None, len(best)
    while fixed is None and count > 1 and (dealt := _dealt(servers, items, order, count - 1)) is not None:
        fewer, count = dealt, count - 1
        yield [items.group(each) for each in fewer]
    if fewer is None and (levelled := _levelled(servers, items, order, types, best)) is not None:
        yield _groups(items, levelled)


def _filled(
    servers: Servers, items: Items, orders: Sequence[Positions], types: tuple[int, ...], until: float
) -> Iterator[tuple[list[Filled], Positions]]:
    """GPUs filled in the first of the orders, then in whichever is better, each with its order."""
    best: list[Filled] | None = None
    for order in orders:
        if best is not None and servers.evaluations > until:
            break
        found = fill_all(servers, items, order, types)
        if best is None or _cost(servers, items, found) < _cost(servers, items, best):
            best, filled_in = found, order
            yield best, filled_in
    if best and _placed(best) < len(orders[0]):
        yield most_served(servers, items, filled_in, types, best, until=until)


def _cheapest_first(servers: Servers) -> tuple[int, ...]:
    """Types of GPU by the price of what they serve of the whole inventory."""
    problem = servers.problem
    shares = [least_shares(servers, each) for each in range(len(problem.gpu_types))]
    taken = [float(np.where(np.isfinite(each), each, NOWHERE).sum()) for each in shares]
    cost = [gpu.price * of for gpu, of in zip(problem.gpu_types, taken, strict=True)]
    return tuple(int(each) for each in np.argsort(cost, kind="stable"))


def _other_types_first(
    servers: Servers, items: Items, orders: Sequence[Positions], types: tuple[int, ...], best: list[Filled]
) -> tuple[list[Filled], Positions, tuple[int, ...]]:
    """What serves the most, or is the cheapest of that, with any type of GPU first; the items and the types in order.

    The first of the orders is that of the best so far; all are tried where GPUs are too few.
    """
    order = orders[0]
    until = servers.evaluations + PER_SECOND * servers.problem.time_s
    for first in types[1:]:
        if servers.evaluations > until:
            break
        turned = (first, *(each for each in types if each != first))
        found, filled_in = fill_all(servers, items, orders[0], turned), orders[0]
        if _placed(found) < len(order):
            *_, (found, filled_in) = _filled(servers, items, orders[1:], turned, until)
        if _cost(servers, items, found) < _cost(servers, items, best):
            best, order, types = found, filled_in, turned
    return best, order, types


def _orders(servers: Servers, items: Items, free: Positions) -> dict[str, Positions]:
    """Orders of the items to fill GPUs in, by name."""
    mix = servers.mix().take(items.adapter[free])
    rate = mix.rate * items.weight[free]
    names = servers.problem.inventory.names
    asked = np.flatnonzero(rate > 0)
    turn = np.empty(len(free), dtype=np.int64)
    turn[asked[admission_order(mix.take(asked), tuple(names[items.adapter[free[i]]] for i in asked))]] = np.arange(
        len(asked)
    )
    idle = np.flatnonzero(rate <= 0)
    turn[idle] = len(asked) + np.arange(len(idle))
    tokens = rate * (mix.input_mean + mix.output_mean)
    in_flight = -np.expm1(-rate * mix.output_mean * STEP_S)
    busy = tokens / np.maximum(in_flight, 1e-300)
    held = mix.input_mean + mix.output_mean / 2
    keys: dict[str, tuple[Floats | Positions, ...]] = {
        "mixed within a rank": (turn, -mix.rank),
        "by tokens per adapter in flight": (turn, -busy, -mix.rank),
        "all mixed": (turn,),
        "by context": (turn, -held, -mix.rank),
        "by tokens per adapter in flight, ranks mixed": (turn, -busy),
    }
    return {name: free[np.lexsort(key)] for name, key in keys.items()}


def _thinned(items: Items, order: Positions, types: tuple[int, ...]) -> Positions:
    """An even part of the items, no more than a few GPUs' worth."""
    stride = max(int(items.share[types[0]].sum() / THINNED), 1)
    return order[stride // 2 :: stride]


def _cost_of_part(filled: list[Filled]) -> tuple[int, float]:
    """What orders are compared by: how many items are placed, then how many GPUs they take."""
    return -_placed(filled), _gpus(filled)


def _gpus(filled: list[Filled]) -> float:
    """GPUs, the last only as far as it is filled."""
    return sum(min(each.fill / each.limit, 1.0) if each.limit else 0.0 for each in filled)


def _cost(servers: Servers, items: Items, filled: list[Filled]) -> tuple[float, float, float]:
    """What matters: how much is served, then the price, then how far the GPUs are filled."""
    price = sum(servers.problem.gpu_types[each.gpu_type].price for each in filled if len(each.items))
    return -worth(servers, items, filled), price, _gpus(filled)


def _dealt_by_rank(
    servers: Servers, items: Items, part: Positions, cost_of_part: tuple[int, float], filled: list[Filled]
) -> list[Positions] | None:
    """The items dealt out evenly, where that places more of them than filling does, or as many on fewer GPUs.

    It is tried on a part of them, of which the cost when filled is given, then on all.
    """
    problem = servers.problem
    if len(problem.gpu_types) > 1 or items.apart or items.pinned:
        return None
    judged = DEALING * PER_SECOND * problem.time_s
    there_are = min(problem.gpus or math.inf, problem.there_are(0))
    for some, cost in ((part, cost_of_part), (items.free, _cost_of_part(filled))):
        most = min(cost[1] if -cost[0] == len(some) else math.inf, there_are)
        dealt = deal_by_rank(servers, items, some, until=servers.evaluations + judged, most=most)
        if (-sum(map(len, dealt)), len(dealt)) >= cost or len(dealt) > there_are:
            return None
    return dealt


def _dealt(servers: Servers, items: Items, order: Positions, gpus: int) -> list[Positions] | None:
    """The items dealt out evenly to so many GPUs, in one way or another that keeps the objective; None if none does."""
    problem = servers.problem
    if len(problem.gpu_types) > 1 or items.apart or items.pinned:
        return None
    share = items.share[0][order]
    if share.sum() > gpus:
        return None
    mix = servers.mix().take(items.adapter[order])
    load = mix.rate * items.weight[order] * (mix.input_mean + mix.output_mean)
    ways = [
        [order[each] for each in evenly(load, np.argsort(-load, kind="stable"), gpus)],
        np.split(order, np.searchsorted(np.cumsum(share), share.sum() * np.arange(1, gpus) / gpus)),
        [order[each] for each in evenly(share, np.argsort(-share, kind="stable"), gpus)],
    ]
    for way in ways:
        by_share = sorted(way, key=lambda each: -float(items.share[0][each].sum()))
        if all(not servers.judge(items.group(each)).missed for each in by_share if len(each)):
            return way
    return None


def _levelled(
    servers: Servers, items: Items, order: Positions, types: tuple[int, ...], best: list[Filled]
) -> list[Filled] | None:
    """As many GPUs, all filled to the same share of what they serve; None where that does not work out."""
    count = servers.problem.gpus or len(best)
    level = _gpus(best) / count
    if count < 2 or level > 1 - FINE or len(types) > 1 or items.pinned:
        return None
    limits = [each.limit for each in best] + [best[-1].limit] * (count - len(best))
    found = fill_all(servers, items, order, types, limits=limits)
    return found if len(found) <= count and _placed(found) >= _placed(best) else None


def _placed(filled: list[Filled]) -> int:
    return sum(len(each.items) for each in filled)


def _groups(items: Items, filled: list[Filled]) -> list[Group]:
    return [items.group(each.items, each.gpu_type) for each in filled]
