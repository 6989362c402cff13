"""In which order adapters are admitted: so many of the first ones are the set of that size, so all sets are nested.

Every set keeps the mix: of each kind of adapters its share, and of adapters that all differ an even sample over ranks,
rates and lengths. No set brings much more than its share of the load: who brings a lot waits until others made room.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twin.workload import Workload

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

TRAITS = ("rank", "rate", "input_mean", "input_std", "output_mean", "output_std", "cv")
"""What adapters are alike or differ in, the most telling first."""
SLACK = 0.5
"""By how much of a mean adapter's load a set may exceed its share, so that slight differences change no order."""
GOLDEN_RATIO = 0.6180339887498949


def admission_order(mix: Workload, names: tuple[str, ...]) -> Positions:
    """Positions of the adapters in the order of admission; it does not depend on their order in the inventory."""
    return _within_share(_fair_order(mix, names), mix.rate * (mix.input_mean + mix.output_mean))


def in_order(mix: Workload, names: Sequence[str], adapters: Positions) -> Positions:
    """Some adapters of a mix, by their positions in it, in the order of admission among themselves."""
    return adapters[admission_order(mix.take(adapters), tuple(names[i] for i in adapters))]


def _within_share(order: Positions, load: Floats) -> Positions:
    """The order, but that no adapter comes while the set with it would bring much more than its share of the load.

    There is always one that may come: the mean of those left is no more than the share that is open to one.
    """
    count, each = len(order), float(load.sum()) / max(len(order), 1)
    late: list[tuple[float, int, int]] = []
    result, brought, following = np.empty(count, dtype=np.int64), 0.0, 0
    for place in range(count):
        open_share = (place + 1 + SLACK) * each - brought
        while not (late and (late[0][0] <= open_share or following == count)):
            adapter = int(order[following])
            heapq.heappush(late, (float(load[adapter]), following, adapter))
            following += 1
        brought_now, _, adapter = heapq.heappop(late)
        brought += brought_now
        result[place] = adapter
    return result


def _fair_order(mix: Workload, names: tuple[str, ...]) -> Positions:
    """Alike adapters take turns as tasks of proportionate periods do, earliest deadline first.

    That keeps every share within one adapter at any size (Pfair scheduling; Baruah et al. 1996). Ties are broken so
    that the order comes back to where it has left out most so far.
    """
    count = len(names)
    ordered = _sorted_by_traits(mix, names)
    first = _first_of_kind(mix, ordered)
    sizes = np.diff(np.append(first, count))
    turn = _evenly_spread(count)[first + sizes // 2]
    if len(sizes) == count:
        return ordered[np.argsort(turn)]
    kinds = [(-(-count // size), int(turn[kind]), kind) for kind, size in enumerate(sizes.tolist())]
    heapq.heapify(kinds)
    later: list[tuple[int, int]] = []
    taken = np.zeros(len(sizes), dtype=np.int64)
    order = np.empty(count, dtype=np.int64)
    for place in range(count):
        while later and later[0][0] <= place:
            kind = heapq.heappop(later)[1]
            deadline = -(-(int(taken[kind]) + 1) * count // int(sizes[kind]))
            heapq.heappush(kinds, (deadline, int(turn[kind]), kind))
        kind = heapq.heappop(kinds)[2]
        order[place] = ordered[first[kind] + taken[kind]]
        taken[kind] += 1
        if taken[kind] < sizes[kind]:
            heapq.heappush(later, (int(taken[kind]) * count // int(sizes[kind]), kind))
    return order


def _sorted_by_traits(mix: Workload, names: tuple[str, ...]) -> Positions:
    """Alike adapters side by side, by name among themselves."""
    by_name = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
    keys = [getattr(mix, trait)[by_name] for trait in reversed(TRAITS)]  # the last key counts most
    return by_name[np.lexsort(keys)]


def _first_of_kind(mix: Workload, ordered: Positions) -> Positions:
    """Where in the sorted order each run of alike adapters begins."""
    differs = np.zeros(len(ordered), dtype=np.bool_)
    differs[:1] = True
    for trait in TRAITS:
        values = getattr(mix, trait)[ordered]
        differs[1:] |= values[1:] != values[:-1]
    return np.flatnonzero(differs)


def _evenly_spread(count: int) -> Positions:
    """Of each place, when it is come by: the middle first, then ever between those before (golden ratio sequence)."""
    return np.argsort((0.5 + np.arange(count) * GOLDEN_RATIO) % 1.0, kind="stable")
