"""What an algorithm made, taken over by a fleet: pins, adapters that must be apart, and copies are seen to here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from itertools import count

from advisor.names import counted
from advisor.place.fleet.fleet import Fleet, Gpu
from advisor.place.placement import Group
from advisor.place.problem import Problem

CLOSE = 1e-9
"""Shares that differ by no more are the same."""


def settle(fleet: Fleet, groups: Sequence[Group], numbers: Sequence[int] | None = None) -> None:
    """Take over what an algorithm made, and see to pins, adapters that must be apart, and copies.

    Groups that have `numbers` keep them, and have to keep the objective: who does not fit goes elsewhere.
    """
    problem = fleet.problem
    fleet.unplaced |= fleet.servers.refused()
    for adapter, reason in contradictions(problem, {each for group in groups for each in group.adapters}).items():
        fleet.unplaced[adapter] = reason
    if numbers is None:
        groups = _available(problem, groups)
        at = _numbers(problem, groups, set(fleet.unplaced))
    else:
        at = list(numbers)
    for number, group in zip(at, groups, strict=True):
        fleet.gpus[number] = Gpu(group.gpu_type, set(group.adapters) - fleet.unplaced.keys(), group.max_loras)
    times = Counter(adapter for group in groups for adapter in group.adapters)
    # Where replicas are demanded there are so many, though the algorithm may have found room for fewer.
    made = {adapter: count for adapter, count in times.items() if count > 1 and adapter not in problem.copies}
    fleet.copies |= made
    for adapter in _in_part(groups) - problem.copies.keys():  # no GPU is to get more of its requests for that
        for number in fleet.gpus:
            fleet.take(adapter, number)
        fleet.copies.pop(adapter, None)
    _pin(fleet)
    _separate(fleet)
    if numbers is not None:
        for number in fleet.gpus:
            pinned = {each for each in fleet.gpus[number].adapters if problem.pins.get(each) == number}
            _make_room(fleet, number, keep=pinned)
    there = fleet.where()
    everyone = range(len(problem.inventory))
    fleet.insert(
        adapter
        for adapter in everyone
        if adapter not in fleet.unplaced and len(there.get(adapter, ())) < fleet.copies.get(adapter, 1)
    )
    if numbers is None:
        fleet.number()
    for number in [number for number, gpu in fleet.gpus.items() if not gpu.adapters]:
        del fleet.gpus[number]


def _in_part(groups: Sequence[Group]) -> set[int]:
    """Adapters that groups have a part of the requests of, and not the rest."""
    served = defaultdict[int, float](float)
    for group in groups:
        for adapter, weight in group.weights.items():
            served[adapter] += weight
    return {adapter for adapter, weight in served.items() if weight < 1 - CLOSE}


def _available(problem: Problem, groups: Sequence[Group]) -> list[Group]:
    """Of the groups, those that there are GPUs for."""
    left = [problem.there_are(each) for each in range(len(problem.gpu_types))]
    kept: list[Group] = []
    for group in groups:
        left[group.gpu_type] -= bool(group.adapters)
        if group.adapters and left[group.gpu_type] >= 0 and len(kept) < (problem.gpus or len(groups)):
            kept.append(group)
    return kept


def contradictions(problem: Problem, placed: AbstractSet[int] = frozenset()) -> dict[int, str]:
    """Adapters that can be nowhere, for what is demanded of them contradicts itself -> why.

    Of those that must be apart on too few GPUs it is the others than were `placed`.
    """
    names, gpus, unit = problem.inventory.names, problem.gpus, problem.unit
    found: dict[int, str] = {}
    if gpus is not None:
        found |= {
            adapter: f"pinned to {unit} {pin}, but {_there_are(gpus + problem.reserved, unit)}, numbered from 0"
            for adapter, pin in problem.pins.items()
            if pin >= gpus + problem.reserved
        }
        found |= {
            adapter: f"{count} replicas, but {_there_are(gpus, unit)}"
            for adapter, count in problem.copies.items()
            if count > gpus
        }
    for together in problem.apart:
        pinned: dict[int, int] = {}
        kept = 0
        for adapter in sorted(together - found.keys(), key=lambda each: (each not in placed, each)):
            pin = problem.pins.get(adapter)
            if pin is not None and pin in pinned:
                found[adapter] = f"pinned to {unit} {pin} as is {names[pinned[pin]]!r}, which it must be apart from"
            elif gpus is not None and kept >= gpus:
                found[adapter] = f"{len(together)} adapters must be apart, but {_there_are(gpus, unit)}"
            else:
                kept += 1
                if pin is not None:
                    pinned[pin] = adapter
    return found


def _there_are(gpus: int, unit: str) -> str:
    return f"there {'is' if gpus == 1 else 'are'} {counted(gpus, unit)}"


def _numbers(problem: Problem, groups: Sequence[Group], without: set[int]) -> list[int]:
    """The number of the GPU of each group: where adapters are pinned to, where most of them are already."""
    pins = {adapter: pin for adapter, pin in problem.pins.items() if adapter not in without}
    wanted = Counter(
        (pins[adapter], place) for place, group in enumerate(groups) for adapter in group.adapters if adapter in pins
    )
    numbers: dict[int, int] = {}
    for (pin, place), _ in sorted(wanted.items(), key=lambda each: (-each[1], each[0])):
        if place not in numbers and pin not in numbers.values():
            numbers[place] = pin
    taken = set(numbers.values())
    for place in range(len(groups)):
        if place not in numbers:
            numbers[place] = next(each for each in count(0) if each not in taken)
            taken.add(numbers[place])
    return [numbers[place] for place in range(len(groups))]


def _pin(fleet: Fleet) -> None:
    """Have pinned adapters where they are pinned to; whom they have no room beside goes elsewhere, if it may."""
    pins = {each: pin for each, pin in fleet.problem.pins.items() if each not in fleet.unplaced}
    by_gpu = defaultdict[int, list[int]](list)
    for adapter, pin in pins.items():
        by_gpu[pin].append(adapter)
    for pin, adapters in sorted(by_gpu.items()):
        if pin not in fleet.gpus and fleet.open(_type_for(fleet, adapters), pin) is None:
            # A GPU that nobody is pinned to becomes this one.
            spare = next((each for each in sorted(fleet.gpus) if each not in by_gpu), None)
            if spare is None:
                nowhere = f"pinned to {fleet.problem.unit} {pin}, which there is none for"
                fleet.unplaced |= dict.fromkeys(adapters, nowhere)
                continue
            fleet.gpus[pin] = fleet.gpus.pop(spare)
        gpu = fleet.gpus[pin]
        for adapter in adapters:
            for number, other in fleet.gpus.items():
                if number != pin and adapter in other.adapters:
                    fleet.take(adapter, number)
        if set(adapters) <= gpu.adapters and fleet.holds(gpu):
            continue
        gpu.max_loras = None
        gpu.adapters |= set(adapters)
        _make_room(fleet, pin, keep=set(adapters))


def _type_for(fleet: Fleet, adapters: Sequence[int]) -> int:
    types = range(len(fleet.problem.gpu_types))
    price = [each.price for each in fleet.problem.gpu_types]
    return min(types, key=lambda each: (not fleet.holds(Gpu(each), adapters), price[each], each))


def _make_room(fleet: Fleet, number: int, keep: set[int]) -> None:
    """Take adapters off a GPU until it keeps the objective: first those that may be elsewhere, then the kept ones."""
    gpu = fleet.gpus[number]
    if fleet.holds(gpu):
        return
    others = fleet.ordered(gpu.adapters - keep)
    fitting = _most(len(others), lambda size: fleet.holds(Gpu(gpu.gpu_type), keep | set(others[len(others) - size :])))
    gpu.adapters = keep | set(others[len(others) - fitting :])
    if fitting or fleet.holds(gpu):
        return
    pinned = sorted(keep, key=lambda each: (fleet.load[each], each))
    size = _most(len(pinned), lambda size: fleet.holds(Gpu(gpu.gpu_type), pinned[:size]))
    gpu.adapters = set(pinned[:size])
    for adapter in pinned[size:]:
        missed = fleet.judge(Gpu(gpu.gpu_type, gpu.adapters | {adapter})).missed
        beside = f", which does not serve it beside {size} others pinned to it" if size else ""
        fleet.unplaced[adapter] = f"pinned to {fleet.problem.unit} {number}{beside}: {'; '.join(missed)}"


def _most(most: int, holds: Callable[[int], bool]) -> int:
    """The largest size up to `most` that holds, by bisection."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _separate(fleet: Fleet) -> None:
    """Take adapters that must be apart from others off their GPU, but for the pinned or first ones of each."""
    if not fleet.problem.apart:
        return
    for number, gpu in fleet.gpus.items():
        kept: set[int] = set()
        for adapter in sorted(gpu.adapters, key=lambda each: (fleet.problem.pins.get(each) != number, each)):
            if fleet.conflicts(adapter, kept):
                fleet.take(adapter, number)
            else:
                kept.add(adapter)
