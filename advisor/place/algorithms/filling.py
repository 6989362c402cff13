"""Fill GPUs one after the other with items in some order, and learn on the way how much of them a GPU serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from advisor.place.algorithms.items import Bools, Floats, Items, Positions
from advisor.place.judge.servers import Servers
from twin.settings import slot_rank

FIRST = 0.7
"""Of a GPU, that is tried first where nothing is known yet."""
STRIDE = 1.2
"""How much more, or less, is tried next while what a GPU serves is not enclosed."""
FINE = 0.015
"""It is known well enough within such a share of it."""
PROBE, GROWTH, SHRINKAGE = 4, 1.03, 0.97
"""Once that is known, every so many GPUs somewhat more is tried, and whenever it is too much, somewhat less."""
SHRINKS = 5
"""After so many times of less it is sought anew."""

LEVEL = 1e-3
"""By so much more than its part a GPU is filled where all are to be level: items are not split."""

NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Filled:
    """Items on a GPU."""

    items: Positions
    gpu_type: int
    fill: float
    """Sum of their shares."""
    limit: float
    """Sum of the shares of such items that one GPU serves, as far as is known."""


class Filler:
    """Fills GPUs of one type."""

    def __init__(self, servers: Servers, items: Items, gpu_type: int = 0, *, fine: float = FINE) -> None:
        self._servers, self._items, self._type, self._fine = servers, items, gpu_type, fine
        self._rank = servers.mix(gpu_type).rank[items.adapter]
        self._limit, self._limit_rank, self._filled, self._seek_from = 0.0, 0, 0, FIRST

    def fill(self, order: Positions, base: Positions = NONE, most: float | None = None) -> Filled | None:
        """One GPU with the items of `base` and as many of the first in the order as it serves; None if nothing is.

        With `most`, not more of them than add up to that.
        """
        share = self._items.share[self._type]
        candidates = order[self._allowed(order, base)]
        if (held := self._servers.host(self._type).most) is not None:  # who is never asked adds nothing to the sums
            candidates = candidates[: max(held - len(base), 0)]
        sums = float(share[base].sum()) + np.cumsum(share[candidates])

        def serves(count: int) -> bool:
            group = self._items.group(np.concatenate([base, candidates[:count]]), self._type)
            return not self._servers.judge(group).missed

        if not len(base) and not len(candidates):
            return None
        if most is None:
            self._forget_at_smaller(np.concatenate([base, candidates[: max(_place(sums, self._limit), 1)]]))
        count = self._count(sums, serves, most)
        if count == 0 and not (len(base) and serves(0)):
            return self.fill(NONE, base[:-1]) if len(base) > 1 else None
        taken = np.concatenate([base, candidates[:count]])
        total = float(share[taken].sum())
        return Filled(taken, self._type, total, max(self._limit, total))

    def _forget_at_smaller(self, items: Positions) -> None:
        """Forget what a GPU serves where its slots had to be larger than these items need: it serves more of them."""
        rank = slot_rank(float(self._rank[items].max()))
        if rank < self._limit_rank:
            self._seek_from, self._limit = self._limit, 0.0
        self._limit_rank = rank

    def _count(self, sums: Floats, serves: Callable[[int], bool], most: float | None) -> int:
        """How many of the candidates to take, whose shares are summed up."""
        if not len(sums):
            return 0
        self._filled += 1
        if most is not None:
            self._limit = most * (1 + LEVEL)
        if not self._limit:
            return self._learned(sums, _largest(sums, serves, self._seek_from, self._fine))
        count = max(_place(sums, self._limit), 1)
        if serves(count):
            more = _place(sums, self._limit * GROWTH)
            probing = most is None and more > count and self._filled % PROBE == 0
            return self._learned(sums, more) if probing and serves(more) else count
        return self._less(sums, serves, count)

    def _less(self, sums: Floats, serves: Callable[[int], bool], count: int) -> int:
        """How many to take where so many, of which it was thought that they could be served, are too many."""
        for _ in range(SHRINKS):
            count = min(_place(sums, self._limit * SHRINKAGE), count - 1)
            if count < 1:
                return 0
            self._limit = float(sums[count - 1])
            if serves(count):
                return count
        return self._learned(sums, _largest(sums[:count], serves, self._limit / STRIDE, self._fine))

    def _learned(self, sums: Floats, count: int) -> int:
        if 0 < count < len(sums):
            self._limit = float(sums[count - 1])
        return count

    def _allowed(self, order: Positions, base: Positions) -> Bools:
        """Which items of the order may come to the base: of each set that is kept apart no more than one."""
        allowed = self._items.served[self._type].copy()
        if self._items.apart:
            place = np.full(len(self._items), len(order))
            place[order] = np.arange(len(order))
            for members in self._items.apart:
                waiting = members[place[members] < len(order)]
                if len(waiting):
                    first = waiting[np.argmin(place[waiting])]
                    allowed[waiting if np.isin(members, base).any() else waiting[waiting != first]] = False
        return allowed[order]


def fill_all(
    servers: Servers,
    items: Items,
    order: Positions,
    types: Sequence[int] = (0,),
    *,
    limits: Sequence[float] | None = None,
    fine: float = FINE,
) -> list[Filled]:
    """GPUs for all items of the order and those that are pinned, or for as many as the problem has GPUs.

    GPUs are of the first of the `types` while there are any, then of the next. With `limits`, what each serves, all are
    filled to the same share of them. Where a GPU has nothing to serve, it is in the list with no items.
    """
    problem = servers.problem
    fillers = {each: Filler(servers, items, each, fine=fine) for each in types}
    left = {each: problem.there_are(each) for each in types}
    filled: list[Filled] = []
    placed = np.zeros(len(items), dtype=np.bool_)
    last_pinned = max(items.pinned, default=-1)
    while (len(order) or len(filled) <= last_pinned) and (problem.gpus is None or len(filled) < problem.gpus):
        gpu, available = len(filled), [each for each in types if left[each] != 0]
        if not available:
            break
        base = _conflict_free(items, items.pinned.get(gpu, NONE))
        limit = None
        if limits is not None and (rest := sum(limits[gpu:])):  # what is never asked leaves nothing to share
            limit = float(items.share[types[0]][order].sum()) * limits[gpu] / rest
        found = None
        for gpu_type in available:
            if (found := fillers[gpu_type].fill(order, base, limit)) is not None:
                break
        if found is None:
            if gpu > last_pinned:
                break
            filled.append(Filled(NONE, types[0], 0.0, 0.0))
            continue
        left[found.gpu_type] -= 1
        filled.append(found)
        placed[found.items] = True
        order = order[~placed[order]]
    return filled


def _conflict_free(items: Items, base: Positions) -> Positions:
    """The items that are pinned to a GPU, without those that have to be apart from earlier ones."""
    for members in items.apart:
        both = base[np.isin(base, members)]
        base = base[~np.isin(base, both[1:])]
    return base


def _place(sums: Floats, target: float) -> int:
    return int(np.searchsorted(sums, target * (1 + 1e-9), side="right"))


def _largest(sums: Floats, serves: Callable[[int], bool], target: float, fine: float) -> int:
    """How many can be served, about: by strides from the target, then by bisection; 0 where not even one can."""
    low, high = 0, len(sums) + 1
    while high - low > 1:
        if low and high <= len(sums):
            if sums[high - 1] - sums[low - 1] <= fine * sums[low - 1]:
                break
            target = float(sums[low - 1] + sums[high - 1]) / 2
        count = min(max(_place(sums, target), low + 1), high - 1)
        if serves(count):
            low, target = count, float(sums[count - 1]) * STRIDE
        else:
            high, target = count, float(sums[count - 1]) / STRIDE
    return low
