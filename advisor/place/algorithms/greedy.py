"""Baseline: the greedy placement of Agulló et al. 2026 (arXiv 2602.24044).

Adapters by rank descending, within a rank alternately of the largest and the smallest rate, fill a server up to the
next test point; of the slots so far and those of the next test point, under the memory's cap, it keeps what is
predicted to bring more throughput. Once a server is predicted to fail, it is closed as it was at the test point before,
and the next is opened. "To fail" is here to miss the objective; there it is the papers' starvation, which lets queues
grow. So that the same slots do not always fail, those that do not come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np

from advisor.place.algorithms.items import Items, Positions, items_of
from advisor.place.judge.servers import Server, Servers
from advisor.place.placement import Group

FIRST_POINTS, STRIDE = (8, 16, 32), 32
"""Test points: these, then every so many adapters."""


def greedy(servers: Servers) -> Iterator[list[Group]]:
    """One server after the other."""
    items = items_of(servers)
    order = _order(servers, items)
    groups: list[Group] = []
    while len(order) and len(groups) < (servers.problem.gpus or len(items)):
        group, taken = _fill(servers, items, order)
        groups.append(group)
        order = order[taken:]
    yield groups


def _order(servers: Servers, items: Items) -> Positions:
    mix = servers.mix()
    rank, rate = mix.rank[items.adapter], mix.rate[items.adapter] * items.weight
    found = []
    for each in np.unique(rank[items.free])[::-1]:
        alike = items.free[rank[items.free] == each]
        alike = alike[np.argsort(-rate[alike], kind="stable")]
        middle = (len(alike) + 1) // 2
        alternating = np.empty(len(alike), dtype=np.int64)
        alternating[0::2], alternating[1::2] = alike[:middle], alike[middle:][::-1]
        found.append(alternating)
    return np.concatenate(found) if found else items.free


def _points() -> Iterator[int]:
    yield from FIRST_POINTS
    yield from count(FIRST_POINTS[-1] + STRIDE, STRIDE)


def _fill(servers: Servers, items: Items, order: Positions) -> tuple[Group, int]:
    """The next server's adapters, and how many of the order they are."""
    best, taken, slots = None, 0, FIRST_POINTS[0]
    for point in _points():
        size = min(point, len(order))
        group = _better(servers, items, order[:size], {slots, point})
        if group is None:
            break
        best, taken, slots = group, size, group.max_loras or point
        if size == len(order):
            break
    if best is not None:
        return best, taken
    # Below the first test point nothing is described: as many as one server takes.
    for size in range(min(FIRST_POINTS[0], len(order)) - 1, 1, -1):
        if (group := _better(servers, items, order[:size], {size})) is not None:
            return group, size
    return items.group(order[:1]), 1


def _better(servers: Servers, items: Items, adapters: Positions, slots: set[int]) -> Group | None:
    """The adapters with those slots that bring more throughput, unless the server fails with them."""
    plain = items.group(adapters)
    tried: list[tuple[float, Group, Server]] = []
    for each in sorted({min(wanted, len(adapters)) for wanted in slots}):
        group = Group(plain.adapters, plain.gpu_type, plain.weights, each)
        server = servers.judge(group)
        if server.configuration is not None:
            tried.append((server.configuration.expected.throughput_tok_s, group, server))
    if not tried:
        return None
    _, group, server = max(tried, key=lambda each: (not each[2].missed, each[0]))
    return None if server.missed else group
