"""From a problem to a placement: an algorithm makes groups, the models judge them, a bound says what is possible."""

from __future__ import annotations

from functools import partial

from advisor.errors import InputError
from advisor.nearest import nearest
from advisor.place.algorithms import ALGORITHMS, Algorithm
from advisor.place.bound import lower_bound
from advisor.place.fleet import Fleet, settle
from advisor.place.placement import Group, Placement
from advisor.place.problem import Problem
from advisor.place.servers import Servers
from advisor.place.verification import ExactServers, make_hold

DEFAULT = next(iter(ALGORITHMS))
"""Name of the algorithm that is used where none is named."""


def place(problem: Problem, algorithm: str = DEFAULT, *, exact: bool = False) -> Placement:
    """Place an inventory on GPUs, so that every GPU holds by the models or, where that is asked, by the twin.

    Raises:
        InputError: no such algorithm, a shipped file is missing or altered, or the twin is not installed.
    """
    if algorithm not in ALGORITHMS:
        near = nearest(algorithm, ALGORITHMS)
        hint = f"; did you mean {near!r}?" if near else ""
        raise InputError(f"no algorithm {algorithm!r}{hint}; there are {', '.join(ALGORITHMS)}")
    servers = ExactServers(problem) if exact else Servers(problem)
    fleet = Fleet(servers)
    groups, interrupted = _best(servers, ALGORITHMS[algorithm])
    settle(fleet, groups)
    answer = partial(placement, fleet, algorithm, interrupted=interrupted)
    return make_hold(fleet, servers, answer) if isinstance(servers, ExactServers) else answer()


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


def placement(fleet: Fleet, algorithm: str, *, interrupted: bool = False) -> Placement:
    """What a fleet has come to, as the answer."""
    servers, unplaced = fleet.servers, dict(fleet.unplaced)
    assignments = []
    for number, group in fleet.groups().items():
        if (assignment := servers.assign(number, group)) is not None:
            assignments.append(assignment)
        else:
            reason = "; ".join(servers.judge(group).missed)
            unplaced |= dict.fromkeys(group.adapters, f"the server would not start: {reason}")
    placed = {adapter for each in assignments for adapter in each.adapters}
    return Placement(
        assignments=tuple(assignments),
        unplaced={adapter: unplaced[adapter] for adapter in sorted(unplaced) if adapter not in placed},
        lower_bound=lower_bound(servers, placed),
        algorithm=algorithm,
        seed=servers.problem.seed,
        interrupted=interrupted,
        warnings=servers.warnings,
    )
