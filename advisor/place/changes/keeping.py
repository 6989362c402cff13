"""Exchange what is alike between the GPUs of a placement, so that as much as can be stays where it was before."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from advisor.place.changes.matching import match
from advisor.place.changes.previous import Running
from advisor.place.judge.traffic import kinds as alike
from advisor.place.placement import Assignment, Placement
from advisor.place.problem import Problem


def kinds(problem: Problem) -> list[int]:
    """A number for each adapter, the same for those that may take each other's place: alike, and allowed anywhere."""
    found: list[int] = alike(problem.inventory).tolist()
    apart = {adapter for group in problem.apart for adapter in group}
    own = apart | problem.pins.keys() | problem.copies.keys()
    return [len(found) + each if each in own else kind for each, kind in enumerate(found)]


def kept_in_place(
    placement: Placement, previous: Mapping[int, Running], problem: Problem, positions: Mapping[str, int]
) -> Placement:
    """The same placement with numbers of GPUs, and adapters that are alike, exchanged so that as many as can be stay.

    Groups keep their kinds of adapters, so that settings and expectations are the same. The number that stay is within
    one in a hundred of the most, of small fleets the most (see `matching`).
    """
    kind = kinds(problem)
    copied = {adapter for each in placement.assignments for adapter in each.weights}
    kind = [len(kind) * 2 + each if each in copied else number for each, number in enumerate(kind)]
    old = {
        gpu: [
            positions[name] for name in each.adapters if name in positions and positions[name] not in placement.unplaced
        ]
        for gpu, each in previous.items()
    }
    old_kinds = {gpu: Counter(kind[each] for each in adapters) for gpu, adapters in old.items()}
    of_kind = defaultdict[int, list[int]](list)
    for gpu, counter in old_kinds.items():
        for each in counter:
            of_kind[each].append(gpu)
    pinned = set(problem.pins.values())
    values: dict[int, dict[int, int]] = {}
    for place, assignment in enumerate(placement.assignments):
        stay = Counter[int]()
        if not assignment.adapters:
            stay.update(gpu for gpu, each in previous.items() if each.base and not each.adapters)
        for each, count in Counter(kind[adapter] for adapter in assignment.adapters).items():
            for gpu in of_kind.get(each, ()):
                stay[gpu] += min(count, old_kinds[gpu][each])
        same = {gpu: count for gpu, count in stay.items() if same_type(assignment, previous[gpu])}
        if assignment.gpu in pinned:
            same = {assignment.gpu: same.get(assignment.gpu, 0) + 1}
        else:
            same = {gpu: count for gpu, count in same.items() if gpu not in pinned}
        values[place] = same
    matched = match(values)
    numbers = _numbered(placement, matched, previous)
    chosen = _exchanged(placement.assignments, numbers, old, kind)
    renumbered = [
        replace(
            assignment,
            gpu=numbers[place],
            adapters=chosen[place],
            verified=assignment.verified if chosen[place] == assignment.adapters else None,
        )
        for place, assignment in enumerate(placement.assignments)
    ]
    return replace(placement, assignments=tuple(sorted(renumbered, key=lambda each: each.gpu)))


def same_type(assignment: Assignment, running: Running) -> bool:
    return running.pair is None or running.pair == assignment.gpu_type.pair.name


def _numbered(placement: Placement, matched: Mapping[int, int], previous: Mapping[int, Running]) -> list[int]:
    """The number of each group's GPU; those without an old one get numbers that no old one has, if they can."""
    taken = set(matched.values()) | set(previous)
    numbers = []
    for place in range(len(placement.assignments)):
        if place in matched:
            numbers.append(matched[place])
            continue
        number = next(each for each in range(len(taken) + 1) if each not in taken)
        taken.add(number)
        numbers.append(number)
    return numbers


def _exchanged(
    assignments: Sequence[Assignment], numbers: Sequence[int], old: Mapping[int, list[int]], kind: Sequence[int]
) -> list[tuple[int, ...]]:
    """Which adapters each group has, of its kinds: first those that are on its GPU already."""
    wanted = [Counter(kind[adapter] for adapter in each.adapters) for each in assignments]
    pool = defaultdict[int, list[int]](list)
    for each in assignments:
        for adapter in each.adapters:
            pool[kind[adapter]].append(adapter)
    copied = {number for number, adapters in pool.items() if len(set(adapters)) < len(adapters)}
    placed = {adapter for adapters in pool.values() for adapter in adapters}
    chosen: list[list[int]] = []
    taken = set[int]()
    for place, number in enumerate(numbers):
        left, here = wanted[place], list[int]()
        for adapter in old.get(number, ()):
            if adapter in placed and adapter not in taken and kind[adapter] not in copied and left[kind[adapter]] > 0:
                left[kind[adapter]] -= 1
                taken.add(adapter)
                here.append(adapter)
        chosen.append(here)
    for place, assignment in enumerate(assignments):
        here, left = chosen[place], wanted[place]
        here += [adapter for adapter in assignment.adapters if kind[adapter] in copied]
        for adapter in assignment.adapters:  # its own first, so that nothing changes without need
            if kind[adapter] not in copied and adapter not in taken and left[kind[adapter]] > 0:
                left[kind[adapter]] -= 1
                taken.add(adapter)
                here.append(adapter)
    rest = {number: [each for each in adapters if each not in taken] for number, adapters in pool.items()}
    for place in range(len(assignments)):
        for number, count in wanted[place].items():
            if number not in copied:
                chosen[place] += [rest[number].pop() for _ in range(count)]
    return [tuple(sorted(here)) for here in chosen]
