"""From a problem to a placement: an algorithm makes groups, the models judge them, a bound says what is possible."""

from __future__ import annotations

from advisor.errors import InputError
from advisor.nearest import nearest
from advisor.place.algorithms import ALGORITHMS
from advisor.place.bound import lower_bound
from advisor.place.placement import Assignment, Placement
from advisor.place.problem import Problem
from advisor.place.servers import Servers, group_of

DEFAULT = next(iter(ALGORITHMS))
"""Name of the algorithm that is used where none is named."""


def place(problem: Problem, algorithm: str = DEFAULT) -> Placement:
    """Place an inventory on GPUs.

    Raises:
        InputError: no such algorithm, or a shipped file is missing or altered.
    """
    if algorithm not in ALGORITHMS:
        near = nearest(algorithm, ALGORITHMS)
        hint = f"; did you mean {near!r}?" if near else ""
        raise InputError(f"no algorithm {algorithm!r}{hint}; there are {', '.join(ALGORITHMS)}")
    servers = Servers(problem)
    groups = ALGORITHMS[algorithm](servers)
    assignments: list[Assignment] = []
    for group in groups:
        if (assignment := servers.assign(len(assignments), group)) is not None:
            assignments.append(assignment)
    placed = {adapter for each in assignments for adapter in each.adapters}
    refused = servers.refused()
    unplaced = {
        adapter: refused.get(adapter) or _reason(servers, adapter)
        for adapter in range(len(problem.inventory))
        if adapter not in placed
    }
    return Placement(
        assignments=tuple(assignments),
        unplaced=unplaced,
        lower_bound=lower_bound(servers, placed),
        algorithm=algorithm,
        seed=problem.seed,
        warnings=servers.warnings,
    )


def _reason(servers: Servers, adapter: int) -> str:
    """Why an adapter is on no GPU."""
    alone = servers.judge(group_of([adapter]))
    if alone.missed:
        return f"alone on a GPU: {'; '.join(alone.missed)}"
    return f"no room on {servers.problem.gpus:,} GPUs" if servers.problem.gpus else "no room"
