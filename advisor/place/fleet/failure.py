"""One GPU more, so that any one may fail: it has the adapters of all others at hand and takes over whose fails."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from advisor.place.judge.running import missed_under
from advisor.place.judge.servers import Servers
from advisor.place.placement import Assignment, Group, Placement
from advisor.place.problem import Problem
from twin.settings import Settings

TRIED = 6
"""Numbers of slots that are tried with each rank, about."""
ROOM = 1.25
"""Times the adapters of the GPU that has most is what the host memory of a spare one is to hold."""


def protected(placement: Placement, servers: Servers, numbers: Sequence[int] = ()) -> Placement:
    """The placement with a GPU that stands by for all others, or as few as it takes where one does not suit all.

    What takes over serves the adapters of a failed GPU under the flags that it was launched with; they are chosen so
    that it keeps the objective with those of any. No fleet that bears a failure is smaller than one more than all need.
    Spare GPUs get these `numbers`, as far as they are free, and then the lowest that are. There are no more of them
    than there are GPUs left.
    """
    problem, left = servers.problem, list(placement.assignments)
    most = math.inf if problem.gpus is None else problem.reserved
    spares: list[Assignment] = []
    while left and len(spares) < most:
        spare, kept = _spare(left, servers, _there_is_one_more(problem, [*placement.assignments, *spares]))
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
        warnings = (*warnings, f"{alone}{_in_host(left, servers)}")
    everyone = sorted((*placement.assignments, *spares), key=lambda each: each.gpu)
    unprotected = tuple(each.gpu for each in left)
    return replace(placement, assignments=tuple(everyone), warnings=warnings, unprotected=unprotected)


def _in_host(left: Sequence[Assignment], servers: Servers) -> str:
    """That host memory does not hold whoever may come from these, where it does not."""
    host, may_come = servers.host(), sorted({adapter for each in left for adapter in each.adapters})
    if (held := host.slots(may_come, len(may_come))) >= len(may_come) or host.limit_gib is None:
        return ""
    return f"; host memory of {host.limit_gib:g} GiB holds {held:,} of the {len(may_come):,} adapters that may come"


def with_more_kept_back(servers: Servers, placement: Placement) -> Problem | None:
    """The problem with one GPU more that only stands by; None where that protects nobody, or leaves none to serve."""
    problem = servers.problem
    left = [each for each in placement.assignments if each.gpu in placement.unprotected]
    spare, _ = _spare(left, servers, range(len(problem.gpu_types)))
    if spare is None:
        return None
    if problem.gpus is not None:
        return replace(problem, gpus=problem.gpus - 1, reserved=problem.reserved + 1) if problem.gpus > 1 else None
    gpu_type = problem.position(spare.gpu_type)
    fewer = replace(problem, taken={**problem.taken, gpu_type: problem.taken.get(gpu_type, 0) + 1})
    return fewer if any(fewer.there_are(each) for each in range(len(problem.gpu_types))) else None


def _there_is_one_more(problem: Problem, used: Sequence[Assignment]) -> list[int]:
    """Types of GPU, by their positions, of which not all that there are have been used."""
    count = Counter(problem.position(each.gpu_type) for each in used)
    return [i for i, each in enumerate(problem.gpu_types) if each.at_most is None or count[i] < each.at_most]


def _spare(
    groups: Sequence[Assignment], servers: Servers, gpu_types: Collection[int]
) -> tuple[Assignment | None, list[Assignment]]:
    """A server of one of the types for as many of these groups as possible, one at a time, and which these are."""
    best: tuple[Assignment | None, list[Assignment]] = (None, [])
    for like, settings in _candidates(groups, servers):
        if servers.problem.position(like.gpu_type) not in gpu_types:
            continue
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


def _candidates(groups: Sequence[Assignment], servers: Servers) -> Iterator[tuple[Assignment, Settings]]:
    """Settings to try: the largest rank and most slots of all, then those of fewer, then of each as they are.

    Host memory is to hold whoever may come, of any of the groups that those slots are large enough for.
    """
    ordered = sorted(groups, key=lambda each: (-each.gpu_type.price, -each.settings.max_loras, each.gpu))
    most = max(len(each.adapters) for each in groups)
    seen = set[tuple[int, int, int]]()
    ordered = ordered[:: max(len(ordered) // TRIED, 1)]
    ranks = sorted({each.settings.max_lora_rank for each in groups}, reverse=True)
    for rank in ranks:
        may_come = {adapter for each in groups if each.settings.max_lora_rank <= rank for adapter in each.adapters}
        for like in ordered:
            key = (id(like.gpu_type), rank, like.settings.max_loras)
            if key in seen or rank < like.settings.max_lora_rank:
                continue
            seen.add(key)
            host, room = servers.host(servers.problem.position(like.gpu_type)), math.ceil(ROOM * most)
            held = host.slots(sorted(may_come), max(room, like.settings.max_loras))
            slots = min(like.settings.max_loras, held)
            yield like, replace(like.settings, max_loras=slots, max_lora_rank=rank, max_cpu_loras=held)


def _missed(group: Assignment, like: Assignment, flags: Mapping[str, int | float], servers: Servers) -> bool:
    gpu_type = servers.problem.position(like.gpu_type)
    return bool(missed_under(servers, Group(group.adapters, gpu_type, group.weights, base=group.base), flags))
