"""From a problem to a placement: an algorithm makes groups, the models judge them, a bound says what is possible."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import count

from advisor import together
from advisor.errors import InputError
from advisor.inventory.inventory import Inventory
from advisor.nearest import nearest
from advisor.place.algorithms import ALGORITHMS, Algorithm
from advisor.place.bound import lower_bound
from advisor.place.changes.continuing import continued
from advisor.place.changes.keeping import kept_in_place
from advisor.place.changes.planning import plan
from advisor.place.changes.previous import Running
from advisor.place.fleet.base import Found, with_base
from advisor.place.fleet.consolidation import consolidated
from advisor.place.fleet.failure import protected, with_more_kept_back
from advisor.place.fleet.fleet import Fleet
from advisor.place.fleet.settling import settle
from advisor.place.host_memory import with_host_memory
from advisor.place.judge.servers import Progress, Servers
from advisor.place.placement import Assignment, Group, Placement
from advisor.place.problem import BaseGpus, Problem
from advisor.place.reasons import explained
from advisor.place.verification.cluster import Mapped
from advisor.place.verification.verification import ExactServers, make_hold, verified
from advisor.recommend.answer.counted import Counted
from advisor.recommend.unlearned import unlearned

DEFAULT = next(iter(ALGORITHMS))
"""Name of the algorithm that is used where none is named."""
CONSOLIDATED_PER_SECOND = 50
"""Groups that are judged to make a fleet cheaper, of a second for improving it: half as many as to make it."""
ROOM = 1.25
"""Times the adapters of a GPU is what its host memory is to hold."""


def place(
    problem: Problem,
    algorithm: str = DEFAULT,
    previous: Mapping[int, Running] | None = None,
    *,
    verify: bool = False,
    exact: bool = False,
    progress: Progress | None = None,
    mapped: Mapped = map,
) -> Placement:
    """Place an inventory on GPUs, so that every GPU holds by the models or, if that is to be exact, by the twin.

    Where there was a placement before, with few changes to that one, and how to make them.

    Raises:
        InputError: no such algorithm, too few GPUs for one to fail, a shipped file is missing or altered, or the twin
            is asked and not installed.
    """
    if algorithm not in ALGORITHMS:
        near = nearest(algorithm, ALGORITHMS)
        hint = f"; did you mean {near!r}?" if near else ""
        raise InputError(f"no algorithm {algorithm!r}{hint}; there are {', '.join(ALGORITHMS)}")
    if problem.failures and problem.gpus is not None:
        if problem.gpus <= problem.failures:
            raise InputError(f"one {problem.unit} may fail, so that two are needed at least")
        problem = replace(problem, gpus=problem.gpus - problem.failures, reserved=problem.failures)
    positions = {name: i for i, name in enumerate(problem.inventory.names)} if previous else {}
    made = partial(
        _made,
        algorithm=algorithm,
        previous=previous or {},
        positions=positions,
        exact=exact,
        progress=progress,
        mapped=mapped,
    )
    found, servers = made(problem)
    try:
        while found.unprotected and not found.interrupted:
            if (with_fewer := with_more_kept_back(servers, found)) is None:
                break
            found, servers = made(with_fewer)
        if (verify or exact) and not found.interrupted:
            found = verified(found, problem, progress=progress, mapped=mapped)
        if not found.interrupted:
            found = explained(found, servers)
        if previous is not None:
            found = replace(found, changes=plan(servers, found, previous, positions))
    except KeyboardInterrupt:
        found = replace(found, interrupted=True)
    return with_host_memory(found, servers)


def _made(
    problem: Problem,
    algorithm: str,
    previous: Mapping[int, Running],
    positions: Mapping[str, int],
    *,
    exact: bool,
    progress: Progress | None,
    mapped: Mapped,
) -> tuple[Placement, Servers]:
    """A placement, with what stands by where that is asked for, and what judged it; interrupted, the best by then."""
    servers = ExactServers(problem, progress) if exact else Servers(problem, progress)
    seek = partial(_sought, algorithm=ALGORITHMS[algorithm], previous=previous, positions=positions)
    sought = seek(servers) if problem.inventory.workload.base is None else with_base(servers, seek)
    answer = partial(placement, sought, algorithm)
    found = answer()
    try:
        if isinstance(sought.fleet.servers, ExactServers) and not found.interrupted:
            found = make_hold(sought.fleet, sought.fleet.servers, answer, progress=progress, mapped=mapped)
        if previous:
            found = kept_in_place(found, previous, problem, positions)
        if problem.failures:
            idle = [gpu for gpu, running in previous.items() if not running.adapters and not running.base]
            found = protected(found, servers, idle)
    except KeyboardInterrupt:
        found = replace(found, interrupted=True)
    return found, servers


def _sought(
    servers: Servers, algorithm: Algorithm, previous: Mapping[int, Running], positions: Mapping[str, int]
) -> Found:
    """The adapters as an algorithm places them or, where that is as good, as they were before."""
    fleet = Fleet(servers)
    groups, interrupted = _best(servers, algorithm)
    settle(fleet, groups)
    if algorithm is ALGORITHMS[DEFAULT] and not interrupted:  # the baselines are compared as they are
        try:
            fleet = consolidated(fleet, round(CONSOLIDATED_PER_SECOND * servers.problem.time_s))
        except KeyboardInterrupt:  # what there was is untouched
            interrupted = True
    if previous and not _cheaper(fleet, continuing := continued(servers, previous, positions)):
        fleet = continuing
    return Found(fleet, interrupted)


def _cheaper(fleet: Fleet, other: Fleet) -> bool:
    """Whether a fleet serves more than another one or, if as much, for less."""
    return (-fleet.worth, fleet.price) < (-other.worth, other.price)


def _best(servers: Servers, algorithm: Algorithm) -> tuple[list[Group], bool]:
    """The last placement that an algorithm found, and whether it was interrupted before it was done."""
    groups: list[Group] | None = None
    try:
        for found in algorithm(servers):
            groups = found
    except KeyboardInterrupt:
        if groups is None:
            raise
        return groups, True
    return groups or [], False


def placement(found: Found, algorithm: str) -> Placement:
    """What has been found, as the answer."""
    fleet, servers, unplaced = found.fleet, found.fleet.servers, dict(found.fleet.unplaced)
    groups = fleet.groups()
    servers.base = 1.0 / (len(groups) + len(found.alone)) if found.base is BaseGpus.SPREAD else 0.0
    free = (number for number in count() if number not in groups)
    assignments = []
    for number, group in (*groups.items(), *((next(free), each) for each in found.alone)):
        if (assignment := servers.assign(number, group)) is not None:
            assignments.append(roomy(assignment, servers))
        else:
            reason = "; ".join(servers.judge(group).missed)
            unplaced |= dict.fromkeys(group.adapters, f"the server would not start: {reason}")
    placed = {adapter for each in assignments for adapter in each.adapters}
    types = servers.problem.gpu_types
    used = [each for each in types if any(one.gpu_type is each for one in assignments)] or types
    workload = servers.problem.inventory.workload
    not_learned = (warning for each in used for warning in unlearned(workload, each.pair))
    return Placement(
        assignments=tuple(sorted(assignments, key=lambda each: each.gpu)),
        unplaced={adapter: unplaced[adapter] for adapter in sorted(unplaced) if adapter not in placed},
        base=found.base,
        base_refused=found.refused,
        lower_bound=lower_bound(servers, placed, base=found.base is not None),
        algorithm=algorithm,
        seed=servers.problem.seed,
        interrupted=found.interrupted,
        warnings=tuple(dict.fromkeys((*servers.warnings(used), *not_learned, *_at_once(servers.problem.inventory)))),
        counted=Counted.of(servers.problem.inventory.counted_requests),
    )


def _at_once(inventory: Inventory) -> Iterator[str]:
    """That nothing here knows of requests that fan out to several adapters."""
    if found := together.groups(inventory):
        adapters = sum(map(len, found))
        yield (
            f"{adapters:,} adapters are asked at the same moment as others (together), and placed as if they were "
            "asked independently: those of a group that share a server wait for each other's prompts, which only "
            "recommend counts"
        )


def roomy(assignment: Assignment, servers: Servers) -> Assignment:
    """The same with room for some more adapters in host memory, which costs nothing until they come.

    A server is started anew to change its flags, and adapters come and go.
    """
    host = servers.host(servers.problem.position(assignment.gpu_type))
    room = host.slots(assignment.adapters, math.ceil(ROOM * len(assignment.adapters)))
    settings = replace(assignment.settings, max_cpu_loras=max(assignment.settings.max_cpu_loras, room))
    own = assignment.gpu_type.pair.profile.memory.max_model_len
    return replace(assignment, settings=settings, flags=settings.flags(own))
