"""Adapters on GPUs, changed one by one: who may be where, what fits, and where the next one goes.

What an algorithm made is the start. Pins, adapters that must be apart and copies are seen to in here, whatever made the
groups; so is what changes when there was a placement before.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import numpy as np

from advisor.place.fleet import refusal
from advisor.place.judge.parts import fewest_parts
from advisor.place.judge.servers import Server, Servers
from advisor.place.placement import Group
from twin.settings import slot_rank


@dataclass(slots=True)
class Gpu:
    """What is on a GPU."""

    gpu_type: int = 0
    """Position in the problem's `gpu_types`."""
    adapters: set[int] = field(default_factory=set)
    """Positions in the inventory."""
    max_loras: int | None = None
    """Slots that the algorithm chose; forgotten when the adapters change."""

    def group(self, copies: Mapping[int, int]) -> Group:
        """The same for those who judge; adapters with copies bring their share of the requests."""
        weights = {adapter: 1 / count for adapter, count in copies.items() if count > 1 and adapter in self.adapters}
        return Group(tuple(sorted(self.adapters)), self.gpu_type, weights, self.max_loras)


class Fleet:
    """The GPUs by number, and the adapters on them."""

    def __init__(self, servers: Servers) -> None:
        """Nothing is on any GPU yet."""
        self.servers, self.problem = servers, servers.problem
        self.gpus: dict[int, Gpu] = {}
        self.unplaced: dict[int, str] = {}
        """Adapters that are on no GPU, and why."""
        self.may_open = True
        """Whether GPUs may be taken into use that are not yet."""
        self.judged_until = math.inf
        """Evaluations of the servers after which no more adapters are tried where there might be room for them."""
        self.copies = dict(self.problem.copies)
        self._apart = defaultdict[int, list[frozenset[int]]](list)
        for group in self.problem.apart:
            for adapter in group:
                self._apart[adapter].append(group)
        mix = servers.mix()
        self.load = mix.rate * (mix.input_mean + mix.output_mean)
        """Offered tokens/s of each adapter."""

    @property
    def price(self) -> float:
        """Of all GPUs together."""
        return sum(self.problem.gpu_types[gpu.gpu_type].price for gpu in self.gpus.values() if gpu.adapters)

    @property
    def worth(self) -> float:
        """Of what is served, see `Servers.worth`."""
        served = np.ones(len(self.load), dtype=np.bool_)
        served[list(self.unplaced)] = False
        return self.servers.worth(served)

    def copy(self) -> Fleet:
        """Another fleet that is the same, and may change."""
        other = copy(self)
        other.gpus = {number: Gpu(gpu.gpu_type, set(gpu.adapters), gpu.max_loras) for number, gpu in self.gpus.items()}
        other.unplaced, other.copies = dict(self.unplaced), dict(self.copies)
        return other

    def groups(self) -> dict[int, Group]:
        """What is on each GPU, by its number; GPUs with nothing on them are not used."""
        return {number: gpu.group(self.copies) for number, gpu in sorted(self.gpus.items()) if gpu.adapters}

    def where(self) -> dict[int, list[int]]:
        """On which GPUs each adapter is."""
        found = defaultdict[int, list[int]](list)
        for number, gpu in sorted(self.gpus.items()):
            for adapter in gpu.adapters:
                found[adapter].append(number)
        return found

    def judge(self, gpu: Gpu) -> Server:
        """What becomes of the adapters on a GPU."""
        return self.servers.judge(gpu.group(self.copies))

    def holds(self, gpu: Gpu, more: Iterable[int] = ()) -> bool:
        """Whether a GPU keeps the objective, with more adapters than there are on it."""
        adapters = gpu.adapters | set(more)
        return not adapters or not self.judge(Gpu(gpu.gpu_type, adapters)).missed

    def may(self, adapter: int, number: int) -> bool:
        """Whether an adapter is allowed on the GPU of this number, and not there yet."""
        if self.problem.pins.get(adapter, number) != number and not self._is_spare_copy(adapter):
            return False
        there = self.gpus[number].adapters if number in self.gpus else set()
        return adapter not in there and not self.conflicts(adapter, there)

    def conflicts(self, adapter: int, there: set[int]) -> bool:
        """Whether an adapter must be apart from one of these, which are others."""
        return any(not group.isdisjoint(there) for group in self._apart.get(adapter, ()))

    def conflicting(self, adapter: int) -> bool:
        """Whether there is anyone that an adapter must be apart from."""
        return adapter in self._apart

    def movable(self, adapter: int) -> bool:
        """Whether an adapter may be on any GPU, whoever else is there."""
        return adapter not in self.problem.pins and self.copies.get(adapter, 1) == 1 and not self.conflicting(adapter)

    def _is_spare_copy(self, adapter: int) -> bool:
        """Whether the copy that the pin is about is where it belongs, so that further ones may be elsewhere."""
        pinned = self.gpus.get(self.problem.pins[adapter])
        return self.copies.get(adapter, 1) > 1 and pinned is not None and adapter in pinned.adapters

    def open(self, gpu_type: int, number: int | None = None) -> int | None:
        """Take one more GPU of a type into use, under the lowest free number or this one; None if there is none."""
        if not self.may_open or gpu_type not in self._left():
            return None
        if number is None:
            taken = self.gpus.keys() | set(self.problem.pins.values())
            number = next(each for each in range(len(taken) + 1) if each not in taken)
        self.gpus[number] = Gpu(gpu_type)
        return number

    def number(self) -> None:
        """Number the GPUs in use from 0 without gaps, in their order, but for those that adapters are pinned to."""
        self.gpus = {number: gpu for number, gpu in self.gpus.items() if gpu.adapters}
        pinned = self.gpus.keys() & set(self.problem.pins.values())
        free = (number for number in count() if number not in pinned)
        numbers = {number: number if number in pinned else next(free) for number in sorted(self.gpus)}
        self.gpus = {numbers[number]: self.gpus[number] for number in sorted(self.gpus)}

    def put(self, adapter: int, number: int) -> None:
        """Put an adapter on a GPU, whatever that means for it."""
        self.gpus[number].adapters.add(adapter)
        self.gpus[number].max_loras = None
        self.unplaced.pop(adapter, None)

    def take(self, adapter: int, number: int) -> None:
        """Take it off."""
        self.gpus[number].adapters.discard(adapter)
        self.gpus[number].max_loras = None

    def insert(self, adapters: Iterable[int]) -> None:
        """Put adapters where they fit, the largest first, one copy or more of each; on more GPUs if there have to be.

        Those that fit nowhere are unplaced. Where there are no more GPUs, those of small rank come first: of these the
        most fit.
        """
        if self._left():
            self._insert(adapters)
            return
        by_rank = defaultdict[int, list[int]](list)
        for adapter in adapters:
            by_rank[self.slot_rank([adapter])].append(adapter)
        for _, alike in sorted(by_rank.items()):
            self._insert(alike)

    def _left(self) -> dict[int, float]:
        """Of which types there are GPUs that are not in use yet, and how many."""
        in_all = math.inf if self.problem.gpus is None else self.problem.gpus - len(self.gpus)
        used, types = Counter(gpu.gpu_type for gpu in self.gpus.values()), range(len(self.problem.gpu_types))
        left = {each: min(self.problem.there_are(each) - used[each], in_all) for each in types}
        return {gpu_type: count for gpu_type, count in left.items() if count > 0}

    def _insert(self, adapters: Iterable[int]) -> None:
        waiting = [adapter for adapter in self.ordered(adapters) for _ in range(self._missing_copies(adapter))]
        for number in sorted(self.gpus, key=self._order_of_filling):
            waiting = self._fill(number, waiting)
        while waiting and self.may_open and (types := list(self._left())):
            left = self._on_one_more(types, waiting)
            if left is None:  # not even the first fits alone
                adapter = waiting[0]
                left = self.without(adapter, waiting)
                if self._shared(adapter):
                    left = [adapter] * self.copies[adapter] + left
                else:
                    self.unplaced |= refusal.left_out(self, [adapter])
            waiting = left
        for adapter in waiting:
            self._remove(adapter)
        self.unplaced |= refusal.left_out(self, dict.fromkeys(waiting))

    def _on_one_more(self, types: Sequence[int], waiting: list[int]) -> list[int] | None:
        """Those that wait still with one more GPU, of the type that takes most for its price; None where none takes
        any."""
        if len(types) > 1:
            worth = {number: self._worth(number, waiting) for number in types}
            types = sorted(types, key=lambda each: -worth[each])
        for gpu_type in types:
            if (opened := self.open(gpu_type)) is not None:
                if len(left := self._fill(opened, waiting)) < len(waiting):
                    return left
                del self.gpus[opened]
        return None

    def without(self, adapter: int, waiting: Iterable[int]) -> list[int]:
        """Those that wait still when an adapter is on no GPU any more, and others are where it was."""
        left = [each for each in waiting if each != adapter]
        for number in [number for number, gpu in self.gpus.items() if adapter in gpu.adapters]:
            self.take(adapter, number)
            left = self._fill(number, left)
            if not self.gpus[number].adapters:
                del self.gpus[number]
        return left

    def _shared(self, adapter: int) -> bool:
        """Share the requests of an adapter that exceeds one GPU among as many of those left as it takes.

        Whether that helps: not where a GPU serves what it is shared into already, or too few are left.
        """
        if not self.problem.replicas or adapter in self.problem.copies:
            return False
        before, left = self.copies.pop(adapter, 1), self._left()
        if any(self.serves_part(each, adapter, before) for each in left):
            return False
        fewest = {
            each: fewest_parts(partial(self.serves_part, each, adapter), refusal.MOST_COPIES, before) for each in left
        }
        enough = {each: parts for each, parts in fewest.items() if parts is not None}
        in_all = math.inf if self.problem.gpus is None else self.problem.gpus - len(self.gpus)
        for copies in sorted(enough.values()):
            if copies <= min(in_all, sum(left[each] for each, parts in enough.items() if parts <= copies)):
                self.copies[adapter] = copies
                return True
        return False

    def serves_part(self, gpu_type: int, adapter: int, copies: int) -> bool:
        """Whether a GPU of a type serves an adapter alone that is on so many."""
        return not self.servers.judge(Gpu(gpu_type, {adapter}).group({adapter: copies})).missed

    def _missing_copies(self, adapter: int) -> int:
        there = sum(adapter in gpu.adapters for gpu in self.gpus.values())
        return max(self.copies.get(adapter, 1) - there, 0)

    def _remove(self, adapter: int) -> None:
        for number, gpu in self.gpus.items():
            if adapter in gpu.adapters:
                self.take(adapter, number)

    def ordered(self, adapters: Iterable[int]) -> list[int]:
        """The largest ranks first, for slots are as large as the largest rank needs, then the busiest."""
        rank = self.servers.mix().rank
        return sorted(adapters, key=lambda each: (-rank[each], -self.load[each], each))

    def slot_rank(self, adapters: Iterable[int]) -> int:
        """Of the slots that these adapters need: the largest one's."""
        rank = self.servers.mix().rank
        return slot_rank(max((float(rank[each]) for each in adapters), default=0.0))

    def _order_of_filling(self, number: int) -> tuple[float, int]:
        """GPUs with the largest ranks first, as adapters come."""
        rank, there = self.servers.mix().rank, self.gpus[number].adapters
        return (-max((rank[each] for each in there), default=0.0), number)

    def _worth(self, gpu_type: int, waiting: Sequence[int]) -> float:
        """Tokens/s that a GPU of this type takes of those that wait, for its price."""
        fitting = self._fitting(Gpu(gpu_type), list(dict.fromkeys(waiting)))
        return float(self.load[fitting].sum() + 1e-9 * len(fitting)) / self.problem.gpu_types[gpu_type].price

    def _fill(self, number: int, waiting: list[int]) -> list[int]:
        """Put those that wait on a GPU, in their order, as far as they are allowed and fit; the others."""
        gpu = self.gpus[number]
        left, candidates = list[int](), list[int]()
        there = set(gpu.adapters)
        for adapter in waiting:
            allowed = self.may(adapter, number) and adapter not in there and not self.conflicts(adapter, there)
            (candidates if allowed else left).append(adapter)
            if allowed:
                there.add(adapter)
        fitting = set(self._fitting(gpu, candidates))
        for adapter in fitting:
            self.put(adapter, number)
        left_out = Counter(waiting) - Counter(fitting)
        return [adapter for adapter in waiting if _taken(left_out, adapter)]

    def _fitting(self, gpu: Gpu, candidates: Sequence[int]) -> list[int]:
        """Of the candidates, in their order, those that the GPU takes, as many at once as it can.

        Where one is refused, others that ask for less may have room: of smaller rank, or half of the way to there.
        After as many evaluations as there may be nobody is tried any more.
        """
        fitting: list[int] = []
        start, stride = 0, len(candidates)
        while start < len(candidates) and self.servers.evaluations < self.judged_until:
            some = list(candidates[start : start + stride])
            if self.holds(gpu, [*fitting, *some]):
                fitting += some
                start += len(some)
                stride *= 2
            elif len(some) == 1:
                rank = self.slot_rank(some)
                smaller = bisect_right(candidates, -rank, lo=start, key=lambda each: -self.slot_rank([each]))
                start += max((smaller - start + 1) // 2, 1)
                stride = max((len(candidates) - start) // 4, 1)
            else:
                stride = len(some) // 2
        return fitting


def _taken(counter: Counter[int], adapter: int) -> bool:
    counter[adapter] -= 1
    return counter[adapter] >= 0
