"""Requests that name no adapter: spread over all GPUs, each of which gets as many, or on GPUs that have no adapters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from advisor.names import counted
from advisor.place.fleet.fleet import Fleet
from advisor.place.fleet.refusal import NO_ROOM
from advisor.place.judge.servers import Servers
from advisor.place.placement import Group
from advisor.place.problem import BaseGpus, Problem

TRIES = 6
"""Numbers of GPUs to spread over that are tried: the guesses are seldom far off."""
MOST = 4096
"""GPUs that serve requests that name no adapter at most."""


@dataclass(frozen=True, slots=True)
class Found:
    """What has been found for the adapters, and beside them for the requests that name none."""

    fleet: Fleet
    interrupted: bool
    base: BaseGpus | None = None
    """Where requests go that name no adapter; None: nowhere, or there are none."""
    alone: tuple[Group, ...] = ()
    """GPUs that have no adapters, only such requests."""
    refused: str | None = None
    """Why such requests go nowhere, where there are some."""

    @property
    def price(self) -> float:
        """Of all GPUs together."""
        types = self.fleet.problem.gpu_types
        return self.fleet.price + sum(types[each.gpu_type].price for each in self.alone)

    @property
    def gpus(self) -> int:
        """GPUs that are used."""
        return len(self.fleet.groups()) + len(self.alone)

    @property
    def left_out(self) -> tuple[bool, int]:
        """Whether base traffic is served by none, and how many adapters are."""
        return self.refused is not None, len(self.fleet.unplaced)


Seek = Callable[[Servers], Found]
"""From what judges groups to a placement of the adapters."""


def with_base(servers: Servers, seek: Seek) -> Found:
    """A placement of the adapters that serves the requests beside them that name none, in the way that is asked for.

    Where none is, in the one that leaves fewer out or, if both serve as many, that takes fewer GPUs.
    """
    own, asked = _own(servers, seek), servers.problem.base
    if asked is BaseGpus.OWN or own.interrupted:
        return own
    spread = _spread(servers, seek, own)
    if asked is BaseGpus.SPREAD and spread is None:
        nowhere = f"no {servers.problem.unit} serves a part of them beside adapters"
        return replace(own, base=None, alone=(), refused=own.refused or nowhere)
    if spread is None or (asked is None and (own.left_out, own.price) < (spread.left_out, spread.price)):
        return own
    return spread


def _own(servers: Servers, seek: Seek) -> Found:
    """The adapters as if there were nothing else, and GPUs for the rest: the cheapest for which they hold."""
    problem = servers.problem
    needed = {number: _alone(servers, number) for number in range(len(problem.gpu_types))}
    able = [number for number, count in needed.items() if count and count <= problem.there_are(number)]
    if not able:
        missed = servers.judge(Group((), 0, base=1.0 / min(MOST, problem.gpus or MOST))).missed
        return replace(seek(servers), refused="; ".join(missed) or f"{NO_ROOM}: too few {problem.unit}s of any type")
    gpu_type = min(able, key=lambda number: (needed[number] * problem.gpu_types[number].price, number))
    count = needed[gpu_type]
    if problem.gpus is not None and count >= problem.gpus:
        took = f"{NO_ROOM}: they take {counted(count, problem.unit)} of their own, and there are {problem.gpus} for all"
        return replace(seek(servers), refused=took)
    found = seek(servers.of(_without(problem, gpu_type, count)))
    return replace(found, base=BaseGpus.OWN, alone=(Group((), gpu_type, base=1.0 / count),) * count)


def _without(problem: Problem, gpu_type: int, count: int) -> Problem:
    """The problem that is left when so many GPUs of a type are for something else."""
    gpus = None if problem.gpus is None else problem.gpus - count
    taken = {**problem.taken, gpu_type: problem.taken.get(gpu_type, 0) + count}
    return replace(problem, gpus=gpus, reserved=problem.reserved + count, taken=taken)


def _alone(servers: Servers, gpu_type: int) -> int:
    """So many GPUs of a type without adapters hold when requests that name none are spread over them; 0: none do.

    Where one GPU may fail, what stands by takes its place.
    """

    def hold(count: int) -> bool:
        return not servers.judge(Group((), gpu_type, base=1.0 / count)).missed

    low, high = 0, 1
    while not hold(high):
        low, high = high, 2 * high
        if high > MOST:
            return 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if hold(middle) else (middle, high)
    return high


def _spread(servers: Servers, seek: Seek, own: Found) -> Found | None:
    """The fewest GPUs that hold with their adapters and an equal part of the rest each; None where none do.

    Fewer GPUs get more of the rest each, so that they serve fewer adapters: sought is a number that does not need more
    GPUs than it is. What is taken of a GPU hardly depends on it, so that what was found for one leads to the next.
    """
    problem = servers.problem
    alone = min((count for each in range(len(problem.gpu_types)) if (count := _alone(servers, each))), default=0)
    if not alone:
        return None
    low, tried, best = alone - 1, max(alone, len(own.fleet.groups()) + alone - 1), None
    for _ in range(TRIES):
        tried = problem.gpus or tried
        servers.base = 1.0 / tried
        found = _filled_up(servers, seek(servers), tried)
        if found is not None and (problem.gpus is not None or found.left_out[1] <= own.left_out[1]):
            best = found
            adapters = len(found.fleet.groups()) * (1 - alone / tried)
            following = min(max(math.ceil(adapters + alone), low + 1), tried - 1)
        else:
            low = tried
            following = (low + best.gpus) // 2 if best is not None else math.ceil(1.1 * low + 0.5)
        done = problem.gpus is not None or following <= low or (best is not None and best.interrupted)
        if done or (best is None and problem.base is None):  # GPUs of their own are as few
            break
        tried = following
    return best


def _filled_up(servers: Servers, found: Found, gpus: int) -> Found | None:
    """The same on so many GPUs, those that adapters leave with nothing but their part of the rest; None if on more."""
    problem, groups = servers.problem, found.fleet.groups()
    used = [sum(each.gpu_type == number for each in groups.values()) for number in range(len(problem.gpu_types))]
    alone: list[Group] = []
    for number in sorted(range(len(problem.gpu_types)), key=lambda each: problem.gpu_types[each].price):
        group = Group((), number)
        if len(groups) + len(alone) < gpus and not servers.judge(group).missed:
            room = min(problem.there_are(number) - used[number], gpus - len(groups) - len(alone))
            alone += [group] * int(room)
    if len(groups) + len(alone) != gpus:
        return None
    return replace(found, base=BaseGpus.SPREAD, alone=tuple(alone))
