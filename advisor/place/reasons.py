"""Why a fleet is as it is: what keeps its fullest GPUs from serving more, and why types of GPU are not used."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np

from advisor.place.bound import least_shares
from advisor.place.judge.servers import Servers
from advisor.place.judge.traffic import Positions
from advisor.place.placement import Assignment, Group, Placement
from advisor.recommend.choice.order import in_order
from advisor.recommend.choice.search import enclose

FULLEST = 3
"""GPUs that are asked what keeps them from serving more."""
MORE = 1.1
"""So many times the traffic is what they are asked about."""
CLOSE = 1e-9


def explained(found: Placement, servers: Servers) -> Placement:
    """The placement with its reasons; GPUs that are not too many, or as many as there are, need none."""
    serving = [each for each in found.assignments if each.adapters]
    there = {servers.problem.position(each.gpu_type) for each in found.assignments}
    if len(serving) > 1 and servers.problem.gpus is None and not found.optimal:
        fullest = sorted(serving, key=lambda each: (-each.load, each.gpu))[:FULLEST]
        found = replace(found, with_more={each.gpu: _with_more(each, servers) for each in fullest})
    return replace(found, unused=_unused(serving, there, servers)) if serving else found


def _with_more(assignment: Assignment, servers: Servers) -> tuple[str, ...]:
    """What a GPU would miss with somewhat more traffic; nothing where it has room for that."""
    weights = {adapter: MORE * assignment.weights.get(adapter, 1.0) for adapter in assignment.adapters}
    gpu_type = servers.problem.position(assignment.gpu_type)
    return servers.judge(Group(assignment.adapters, gpu_type, weights, base=assignment.base)).missed


def _unused(serving: Sequence[Assignment], there: AbstractSet[int], servers: Servers) -> dict[str, str]:
    """By their names, types of GPU that nothing is on -> why."""
    types = servers.problem.gpu_types
    used = {servers.problem.position(each.gpu_type) for each in serving}
    unused = [number for number in range(len(types)) if number not in there]
    if not unused:
        return {}
    order = _mix_order(servers)
    served = {number: _served(servers, number, order) for number in range(len(types))}
    by_price = {number: types[number].price / count for number, count in served.items() if count}
    best = min(used & by_price.keys(), key=lambda each: (by_price[each], each), default=None)
    found = {}
    for number in unused:
        name, count = types[number].pair.gpu, served[number]
        if not count and (missed := _least_missed(servers, number)):
            found[name] = f"serves no adapter, not even the least demanding alone: {'; '.join(missed)}"
        elif not count or best is None:
            found[name] = "does not serve the first adapter of this mix alone"
        else:
            dearer = by_price[number] > by_price[best] * (1 + CLOSE)
            which = "dearer" if dearer else "no cheaper fleet with it was found, though by the adapter it is no dearer"
            found[name] = (
                f"{which}: one serves {count:,} adapters of this mix, {by_price[number]:.3g} for each; "
                f"{types[best].pair.gpu} serves {served[best]:,}, {by_price[best]:.3g} for each"
            )
    return found


def _mix_order(servers: Servers) -> Positions:
    """Adapters that are asked, in an order of which every beginning is of the same mix."""
    mix, names = servers.problem.inventory.mix, servers.problem.inventory.names
    asked = np.array([i for i in np.flatnonzero(mix.rate > 0) if i not in servers.refused()], dtype=np.int64)
    return in_order(mix, names, asked)


def _served(servers: Servers, gpu_type: int, order: Positions) -> int:
    """So many adapters of the mix one GPU of a type serves, of those that there are."""

    def misses(count: int) -> list[str]:
        return list(servers.judge(Group(tuple(sorted(order[:count].tolist())), gpu_type)).missed)

    return enclose(1, len(order), misses)[0] if len(order) else 0


def _least_missed(servers: Servers, gpu_type: int) -> tuple[str, ...]:
    """What the adapter misses alone that asks the least of a GPU."""
    shares, mix = least_shares(servers, gpu_type), servers.problem.inventory.mix
    asked = np.flatnonzero(mix.rate > 0).tolist()
    least = min(asked, key=lambda each: (mix.rank[each], shares[each], each))
    return servers.judge(Group((least,), gpu_type)).missed
