"""One GPU more, so that any one may fail: it has the adapters of all others at hand and takes over whose fails."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from advisor.place.judge.running import missed_under
from advisor.place.judge.servers import Servers
from advisor.place.placement import Assignment, Group, Placement
from twin.settings import Settings

TRIED = 6
"""Numbers of slots that are tried with each rank, about."""
ROOM = 1.25
"""Times the adapters of the GPU that has most is what the host memory of a spare one is to hold."""


def protected(placement: Placement, servers: Servers, numbers: Sequence[int] = ()) -> Placement:
    """The placement with a GPU that stands by for all others, or as few as it takes where one does not suit all.

    What takes over serves the adapters of a failed GPU under the flags that it was launched with; they are chosen so
    that it keeps the objective with those of any. No fleet that bears a failure is smaller than one more than all need.
    Spare GPUs get these `numbers`, as far as they are free, and then the lowest that are.
    """
    left = list(placement.assignments)
    spares: list[Assignment] = []
    while left:
        spare, kept = _spare(left, servers)
        if spare is None:
            break
        taken = {each.gpu for each in spares} | {each.gpu for each in placement.assignments}
        number = next(gpu for gpu in (*numbers, *range(len(taken) + 1)) if gpu not in taken)
        there = {adapter for each in kept for adapter in each.adapters} - {a for each in spares for a in each.standby}
        base = any(each.base for each in kept)
        spares.append(replace(spare, gpu=number, standby=tuple(sorted(there)), base_standby=base))
        left = [each for each in left if each not in kept]
    warnings = placement.warnings
    if left:
        unit = placement.unit
        which = ", ".join(f"{unit} {each.gpu}" for each in left)
        alone = f"no spare {unit} serves what these do under flags of its own, were they to fail: {which}"
        warnings = (*warnings, alone)
    everyone = sorted((*placement.assignments, *spares), key=lambda each: each.gpu)
    return replace(placement, assignments=tuple(everyone), warnings=warnings)


def _spare(groups: Sequence[Assignment], servers: Servers) -> tuple[Assignment | None, list[Assignment]]:
    """A server for as many of these groups as possible, one at a time, and which these are."""
    best: tuple[Assignment | None, list[Assignment]] = (None, [])
    for like, settings in _candidates(groups):
        profile = like.gpu_type.pair.profile
        flags = settings.flags(profile.memory.max_model_len)
        kept = [each for each in groups if not _missed(each, like, flags, servers)]
        if len(kept) > len(best[1]):
            busiest = max(kept, key=lambda each: each.load)
            spare = Assignment(
                gpu=-1,
                gpu_type=like.gpu_type,
                adapters=(),
                settings=settings,
                flags=flags,
                expected=busiest.expected,
            )
            best = (spare, kept)
        if len(kept) == len(groups):
            break
    return best


def _candidates(groups: Sequence[Assignment]) -> Iterator[tuple[Assignment, Settings]]:
    """Settings to try: the largest rank and most slots of all, then those of fewer, then of each as they are."""
    ordered = sorted(groups, key=lambda each: (-each.gpu_type.price, -each.settings.max_loras, each.gpu))
    most = max(len(each.adapters) for each in groups)
    seen = set[tuple[int, int, int]]()
    ordered = ordered[:: max(len(ordered) // TRIED, 1)]
    ranks = sorted({each.settings.max_lora_rank for each in groups}, reverse=True)
    for rank in ranks:
        for like in ordered:
            key = (id(like.gpu_type), rank, like.settings.max_loras)
            if key in seen or rank < like.settings.max_lora_rank:
                continue
            seen.add(key)
            room = max(math.ceil(ROOM * most), like.settings.max_loras)
            yield like, replace(like.settings, max_lora_rank=rank, max_cpu_loras=room)


def _missed(group: Assignment, like: Assignment, flags: Mapping[str, int | float], servers: Servers) -> bool:
    gpu_type = next(i for i, each in enumerate(servers.problem.gpu_types) if each is like.gpu_type)
    return bool(missed_under(servers, Group(group.adapters, gpu_type, group.weights, base=group.base), flags))
