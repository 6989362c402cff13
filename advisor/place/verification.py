"""Placements through the digital twin: what it measures of every GPU, and repair until it finds nothing missed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from advisor.inventory.inventory import Inventory
from advisor.place.fleet import Fleet
from advisor.place.placement import Assignment, Placement
from advisor.recommend.objective import Objective
from advisor.simulation import MEASURES, Simulation

SEEDS = 3
"""Hours that are simulated of every GPU, each with other requests."""
EVICTED = 0.1
"""Of the load of a GPU that misses the objective, what goes elsewhere at a time."""
ROUNDS = 12
"""After so many rounds of repair it is over: a GPU that misses with a third of its load is no close call."""
Progress = Callable[[int, int], None]
"""Told how many GPUs of how many have been simulated."""


def verified(
    placement: Placement,
    inventory: Inventory,
    objective: Objective,
    *,
    seeds: int = SEEDS,
    progress: Progress | None = None,
) -> Placement:
    """The placement with what the twin measures of every GPU, the worst of several hours, and what that misses.

    Of a GPU that stands by, every state that the failure of another one leaves it in is simulated.

    Raises:
        InputError: the twin is not installed.
    """
    done = []
    for number, each in enumerate(placement.assignments):
        done.append(_verified(each, placement, inventory, objective, seeds) if each.verified is None else each)
        if progress is not None:
            progress(number + 1, placement.gpus)
    return replace(placement, assignments=tuple(done))


def _verified(
    assignment: Assignment, placement: Placement, inventory: Inventory, objective: Objective, seeds: int
) -> Assignment:
    states = {"": assignment} if assignment.adapters else {}
    if assignment.standby:
        own, standby = set(assignment.adapters), set(assignment.standby)
        for other in placement.assignments:
            if other.gpu != assignment.gpu and (taken := standby & set(other.adapters)):
                weights = {each: share for each, share in other.weights.items() if each in taken} | dict(
                    assignment.weights
                )
                together = replace(assignment, adapters=tuple(sorted(own | taken)), weights=weights)
                states[f"when GPU {other.gpu} fails: "] = together
    worst: dict[str, Any] = {}
    missed: list[str] = []
    for state, served in states.items():
        for seed in range(seeds):
            measures = _measured(served, inventory, objective, seed)
            missed += [f"{state}{each}" for each in objective.missed_by(measures)]
            if not worst or _badness(measures) > _badness(worst):
                worst = measures
    return replace(assignment, verified={**worst, "seeds": seeds, "missed": list(dict.fromkeys(missed))})


def _measured(assignment: Assignment, inventory: Inventory, objective: Objective, seed: int) -> dict[str, Any]:
    served, pair = assignment.served(inventory), assignment.gpu_type.pair
    if not (served.workload.rate > 0).any():  # nothing comes, so nothing can be missed
        return {"oom": False, "starved": False, "steady": True, "ttft_ms": None, "itl_ms": None}
    simulation = Simulation(f"GPU {assignment.gpu}", pair.basis, served, pair.profile, assignment.settings)
    measures = simulation.measure(seed=seed, ttft_limit_s=objective.ttft_limit_s)
    return {key: measures[key] for key in MEASURES if key != "wall_s"}


def _badness(measures: dict[str, Any]) -> tuple[bool, bool, float]:
    return measures["oom"], measures["starved"], measures["ttft_ms"] or 0.0


def repaired(
    fleet: Fleet,
    answer: Callable[[Fleet], Placement],
    inventory: Inventory,
    objective: Objective,
    *,
    progress: Progress | None = None,
) -> Placement:
    """A placement in which the twin finds nothing missed: from GPUs that miss something, adapters go elsewhere.

    `answer` makes a placement of a fleet. GPUs that stay as they are, are simulated once. Where the rounds are over or
    there is no other place, what is missed still stands in the answer.
    """
    known: dict[tuple[Any, ...], Assignment] = {}
    for _ in range(ROUNDS):
        placement = answer(fleet)
        remembered = [known.get(_key(each), each) for each in placement.assignments]
        placement = verified(replace(placement, assignments=tuple(remembered)), inventory, objective, progress=progress)
        known |= {_key(each): each for each in placement.assignments}
        bad = [each for each in placement.assignments if each.verified is not None and each.verified["missed"]]
        evicted = {each.gpu: _evicted(fleet, each) for each in bad if each.gpu in fleet.gpus}
        if not any(evicted.values()):
            break
        for gpu, adapters in evicted.items():
            fleet.closed.add(gpu)
            for adapter in adapters:
                fleet.take(adapter, gpu)
        fleet.insert({adapter for adapters in evicted.values() for adapter in adapters})
    return placement


def _key(assignment: Assignment) -> tuple[Any, ...]:
    weights = tuple(sorted(assignment.weights.items()))
    return assignment.gpu, assignment.adapters, weights, assignment.standby, tuple(sorted(assignment.flags.items()))


def _evicted(fleet: Fleet, assignment: Assignment) -> list[int]:
    """A tenth of a GPU's load, in as many adapters as that takes of those that are asked and may be elsewhere."""
    free = [
        each
        for each in assignment.adapters
        if each not in fleet.problem.pins and fleet.copies.get(each, 1) == 1 and fleet.load[each] > 0
    ]
    if len(free) < 2:
        return []
    wanted, taken, found = EVICTED * sum(fleet.load[each] for each in assignment.adapters), 0.0, list[int]()
    for each in sorted(free, key=lambda each: (-fleet.load[each], each))[len(free) // 4 :]:
        if taken >= wanted:
            break
        found.append(each)
        taken += fleet.load[each]
    return found
