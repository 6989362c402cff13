"""Placements through the digital twin: does every GPU hold, and if not, what holds instead?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from advisor.place.fleet.fleet import Fleet, Gpu
from advisor.place.judge.servers import Progress, Server, Servers, uneven
from advisor.place.judge.traffic import traffic_of
from advisor.place.placement import Assignment, Group, Placement
from advisor.place.problem import Problem
from advisor.place.verification.cluster import Mapped
from advisor.recommend.choice.configuration import HOUR_S, DoesNotFitError
from advisor.simulation import MEASURES, Simulation, in_busiest_hour
from twin.settings import Settings

SEEDS = (0, 1, 2)
"""Of the hours that every GPU is verified with."""
SEARCH_SEEDS, UNEVEN_SEARCH_SEEDS = range(1000, 1002), range(1000, 1006)
"""Of the hours that an exact placement is sought with: others, for chance favours what was chosen by it. The second
where work comes unevenly: what holds in two such hours missed in one of eight others, where it was sought so."""
MARGIN, UNEVEN_MARGIN = 0.03, 0.25
"""So much more traffic is served at least while an exact placement is sought: other hours bring other requests."""
DEVIATIONS = 3.0
"""By so many standard deviations of an hour's tokens more is served as well: hardly an hour brings more than that."""
FINAL_SEEDS = range(24)
"""Of the hours in which an exact placement has to hold in the end: of GPUs that miss in a twentieth of the hours seven
in ten miss in one of so many, and three hours find one in seven."""
REPAIRS = 5
"""Times that a placement is changed until all GPUs hold."""
GIVEN = 0.03
"""Of its load, that a GPU gives away at least where it misses: after less it holds only as other requests are drawn."""
OTHER_SLOTS = (1.4, 0.7)
"""Times the slots of the models: what the twin tries where these miss the objective."""


def verified(
    placement: Placement,
    problem: Problem,
    seeds: Sequence[int] = SEEDS,
    *,
    progress: Progress | None = None,
    mapped: Mapped = map,
) -> Placement:
    """The placement with what the twin measures of every GPU: of the hours with these seeds, the worst.

    Of a GPU that stands by for others, every state is simulated that the failure of one of them leaves it in. GPUs that
    have been measured already are not again; `mapped` says where the others are (see `cluster`).

    Raises:
        InputError: the twin is not installed, or the traffic of a GPU is too much to simulate.
    """
    wanted = [(each, _states(each, placement)) for each in placement.assignments if each.verified is None]
    measured = {each.gpu: each for each in placement.assignments}
    worst = mapped(partial(_worst_hour, problem=problem, seeds=seeds), wanted)
    if progress is not None and wanted:
        progress(0, len(wanted))
    for number, ((each, _), hour) in enumerate(zip(wanted, worst, strict=True)):
        measured[each.gpu] = replace(each, verified=hour)
        if progress is not None:
            progress(number + 1, len(wanted))
    return replace(placement, assignments=tuple(measured.values()))


def _states(assignment: Assignment, placement: Placement) -> dict[str, Assignment]:
    """What a GPU may have to serve, and when."""
    own, standby = set(assignment.adapters), set(assignment.standby)
    stands_by = bool(standby) or assignment.base_standby
    states = {"": assignment} if own or assignment.base or not stands_by else {}
    for other in placement.assignments:
        taken = standby & set(other.adapters)
        base = other.base if assignment.base_standby else 0.0
        if other.gpu != assignment.gpu and (taken or base):
            states[f"when {placement.unit} {other.gpu} fails: "] = replace(
                assignment,
                adapters=tuple(sorted(own | taken)),
                weights={**other.weights, **assignment.weights},
                base=assignment.base + base,
            )
    return states


def _worst_hour(
    wanted: tuple[Assignment, Mapping[str, Assignment]], problem: Problem, seeds: Sequence[int]
) -> Mapping[str, Any]:
    """What a GPU measures in the worst hour of all its states, and in how many hours it held."""
    assignment, states = wanted
    gpu_type = problem.gpu_types.index(assignment.gpu_type)
    hours = []
    for when, state in states.items():
        group = Group(state.adapters, gpu_type, state.weights, base=state.base)
        for seed in seeds:
            hour = measure(problem, group, assignment.settings, seed)
            hours.append({**hour, "missed": [f"{when}{each}" for each in hour["missed"]]})
    worst = max(hours, key=lambda hour: (len(hour["missed"]), hour["ttft_ms"] or 0.0))
    return {**worst, "hours": len(hours), "held": sum(not h["missed"] for h in hours)}


def measure(problem: Problem, group: Group, settings: Settings, seed: int, *, scale: float = 1.0) -> Mapping[str, Any]:
    """What the twin measures of an hour of a group, all rates times `scale`, and what of the objective that misses."""
    inventory = problem.inventory.take(np.array(group.adapters, dtype=np.int64))
    workload = traffic_of(group, problem.inventory.workload, scale=scale)
    inventory = in_busiest_hour(replace(inventory, workload=workload))
    pair = problem.gpu_types[group.gpu_type].pair
    simulation = Simulation(pair.name, pair.basis, inventory, pair.profile, settings)
    measures = simulation.measure(seed=seed, objective=problem.objective)
    return {key: measures[key] for key in (*MEASURES, "missed")}


class ExactServers(Servers):
    """Judges groups by the twin, under the settings of the models or, where these miss the objective, with other slots.

    What to expect is what the models say; the twin only says whether that will do.
    """

    def __init__(self, problem: Problem, progress: Progress | None = None) -> None:
        super().__init__(problem, progress)
        self._held_to: tuple[int, ...] = ()

    def hold_to(self, seeds: Sequence[int]) -> None:
        """From now on a group also has to serve the hours with these seeds, as verification does."""
        self._held_to = tuple(seeds)
        self.forget()

    def _judged(self, group: Group) -> Server:
        by_models = super()._judged(group)
        if by_models.configuration is None or self.refused_by_host(group):
            return by_models
        settings = by_models.configuration.settings
        values = by_models.configuration.values
        if not (missed := self._missed(group, settings, values)):
            return Server(by_models.configuration, ())
        workload = self.workload(group, scale=1.0 + self.problem.headroom)
        room = self.host(group.gpu_type).room(group.adapters, workload)
        most = len(workload) if room is None else room.slots
        for slots in self._other_slots(group, settings.max_loras, most):
            others = replace(settings, max_loras=slots, max_cpu_loras=max(settings.max_cpu_loras, slots))
            # The twin first: an hour of it takes half the time of asking the models what to expect.
            if not self._missed(group, others, values):
                with suppress(DoesNotFitError):
                    return Server(self._configure(group, workload, slots), ())
        return Server(by_models.configuration, tuple(missed))

    def _other_slots(self, group: Group, asked: int, most: int) -> Iterator[int]:
        """Slots to try beside those of the models, of so many at most."""
        if group.max_loras is None and "max_loras" not in self.problem.inventory.fixed:
            tried = (min(max(round(asked * factor), 1), max(most, 1)) for factor in OTHER_SLOTS)
            yield from (slots for slots in dict.fromkeys(tried) if slots != asked)

    def _missed(self, group: Group, settings: Settings, values: Mapping[str, float]) -> list[str]:
        unevenly = uneven(values)
        seeds = UNEVEN_SEARCH_SEEDS if unevenly else SEARCH_SEEDS
        scale = (1.0 + self.problem.headroom) * (1.0 + self._margin(group, values, unevenly))
        hours = [(seed, scale) for seed in seeds] + [(seed, 1.0) for seed in self._held_to]
        for seed, times in hours:
            if missed := measure(self.problem, group, settings, seed, scale=times)["missed"]:
                return [f"digital twin: {each}" for each in missed]
        return []

    def _margin(self, group: Group, values: Mapping[str, float], unevenly: bool) -> float:
        """By how much more traffic than there is a group is judged; one adapter alone is all there is to give away."""
        if len(group.adapters) == 1:
            return MARGIN
        if unevenly:
            return UNEVEN_MARGIN
        deviation = math.sqrt(values["dispersion"] / (values["token_rate"] * HOUR_S)) if "dispersion" in values else 0.0
        return max(MARGIN, DEVIATIONS * deviation)


def make_hold(
    fleet: Fleet,
    servers: ExactServers,
    answer: Callable[[], Placement],
    *,
    progress: Progress | None = None,
    mapped: Mapped = map,
) -> Placement:
    """The placement of a fleet, verified, and changed until every GPU holds or that has been tried often enough.

    A GPU that does not hold gives adapters away, the least busy first, to others or to one more. An adapter that is too
    much for the GPUs that share it is shared anew, by more.
    """
    verify = partial(verified, problem=servers.problem, seeds=FINAL_SEEDS, progress=progress, mapped=mapped)
    placement = verify(answer())
    servers.hold_to(FINAL_SEEDS)
    for _ in range(REPAIRS):
        failing = [
            each.gpu for each in placement.assignments if each.adapters and each.verified and each.verified["missed"]
        ]
        if not failing:
            break
        moved = [adapter for number in failing for adapter in _given_away(fleet, number)]
        shared = {adapter for number in failing for adapter in _shared_alone(fleet, number)}
        for adapter in sorted(shared):
            fleet.without(adapter, ())
        fleet.insert([*moved, *sorted(shared)])
        placement = verify(answer())
    return placement


def _shared_alone(fleet: Fleet, number: int) -> set[int]:
    """Adapters that are all there is on a GPU, and shared by others because they are too much for one."""
    shared = {each for each in fleet.gpus[number].adapters if fleet.copies.get(each, 1) > 1}
    asked_for = fleet.problem.copies.keys() | fleet.problem.pins.keys()
    return shared - asked_for if shared == fleet.gpus[number].adapters else set()


def _given_away(fleet: Fleet, number: int) -> list[int]:
    """Take as many adapters off a GPU as it takes for it to hold; those that have to be there stay."""
    gpu, problem = fleet.gpus[number], fleet.problem
    movable = sorted(
        (each for each in gpu.adapters if each not in problem.pins and fleet.copies.get(each, 1) == 1),
        key=lambda each: (fleet.load[each], each),
    )
    kept, taken, share = gpu.adapters - set(movable), 0, GIVEN
    load = np.cumsum(fleet.load[movable])
    while taken < len(movable) and not fleet.holds(Gpu(gpu.gpu_type, kept | set(movable[taken:]))):
        enough = int(np.searchsorted(load, share * load[-1])) + 1
        taken, share = min(max(enough, 2 * taken), len(movable)), 2 * share
    for adapter in movable[:taken]:
        fleet.take(adapter, number)
    return movable[:taken]
