"""Where a mix stops being served well: the most adapters by every objective, and what the slots do up to there."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from model_zoo.campaign.grid import Grid, Recipe
from model_zoo.campaign.runs import OBJECTIVES, PUBLISHED, STEADY, Objective, SimulatedRun, Simulator, most_slots

SHARES = (1.0, 0.85, 0.6, 0.3)
"""Of the most adapters served steadily: where every number of slots is tried."""
OVERLOADS = (2.0, 6.0)
"""Times the most adapters that do not starve: how a server fares beyond its limit."""
OVERLOADED_SLOTS = 4
"""Every so many-th number of slots is tried there."""
REFINEMENTS = 2
"""Times that slots are tried between the best and their neighbours."""
MARGIN = 1.1
"""Slots are safe for N adapters when they also serve this many times as many."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """All that was run of one mix."""

    recipe: Recipe
    slots: tuple[int, ...]
    """Slot counts that memory allows, ascending; a count above the adapters served means a slot for each."""
    runs: tuple[SimulatedRun, ...]
    """By adapters and slots."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a campaign ran."""

    searched: tuple[Exploration, ...]
    """Close to the limits of the mixes, most of it."""
    at_points: tuple[Exploration, ...]
    """At points that are the same whatever the limits; none where the grid itself is of points."""

    @property
    def hours(self) -> int:
        """How many were simulated, if each is one."""
        return sum(len(each.runs) for each in (*self.searched, *self.at_points))

    def where(self, chosen: Callable[[Recipe], bool]) -> Findings:
        """What was run of some of the mixes."""
        searched, at_points = (
            tuple(each for each in some if chosen(each.recipe)) for some in (self.searched, self.at_points)
        )
        return Findings(searched, at_points)


def explore_grid(simulator: Simulator, grid: Grid) -> Exploration:
    """Run a mix as the grid has it: at all of its points or, where it has none, as the limits ask."""
    if grid.adapters:
        return explore_points(simulator, grid.adapters)
    slots = explore(simulator, _allowed_slots(simulator, grid), grid.max_adapters)
    return Exploration(simulator.recipe, slots, tuple(simulator.runs))


def explore_points(simulator: Simulator, points: tuple[int, ...]) -> Exploration:
    """Run a mix at every point of a grid, those that memory does not allow included."""
    for adapters in points:
        for max_loras in points:
            simulator.run(adapters, max_loras)
    return Exploration(simulator.recipe, points, tuple(simulator.runs))


def explore_limits(simulator: Simulator, grid: Grid, objectives: Sequence[Objective]) -> Exploration:
    """Run a mix until the limits of some objectives are known, and no more."""
    slots = _allowed_slots(simulator, grid)
    raise_limits(dict.fromkeys(objectives, -1), simulator, slots, ladder(grid.max_adapters))
    return Exploration(simulator.recipe, tuple(slots), tuple(simulator.runs))


def _allowed_slots(simulator: Simulator, grid: Grid) -> list[int]:
    """The grid's slots, cut off at the most that memory allows."""
    most = most_slots(simulator.profile, max(simulator.recipe.ranks.values))
    return sorted({min(count, most) for count in grid.slots if most})


def explore(simulator: Simulator, slots: Sequence[int], max_adapters: int) -> tuple[int, ...]:
    """Run a mix until the limit of every objective is known to one step of the ladder, and the slots at shares of it.

    Returns the slots tried: those given and others around the best.
    """
    steps = ladder(max_adapters)
    limits = dict.fromkeys(OBJECTIVES, -1)
    # From the middle outwards: the earlier the best is found, the fewer runs the others take.
    raise_limits(limits, simulator, sorted(slots, key=lambda slots: abs(math.log(slots / 48))), steps)
    for _ in range(REFINEMENTS):
        between = _around_best(simulator, slots, steps[max(limits[STEADY], 0)])
        raise_limits(limits, simulator, between, steps)
        slots = sorted({*slots, *between})
    tried = {steps[max(limits[PUBLISHED], 0)]}
    tried |= {steps[_step_below(steps, share * steps[max(limits[STEADY], 0)])] for share in SHARES}
    for adapters in sorted(tried):
        for max_loras in slots:
            simulator.run(adapters, max_loras)
        for objective, limit in limits.items():
            if limit >= 0 and steps[limit] >= adapters:
                _find_safe_slots(simulator, objective, slots, adapters, with_margin(adapters, steps[limit], steps))
    most = steps[max(limits[PUBLISHED], 0)]
    for factor in OVERLOADS if most < max_adapters else ():
        for max_loras in slots[::OVERLOADED_SLOTS]:
            simulator.run(min(round(factor * most), max_adapters), max_loras)
    return tuple(slots)


def ladder(max_adapters: int) -> list[int]:
    """The numbers of adapters that are tried: all up to 50, then in steps of 2 %."""
    steps = [1]
    while steps[-1] < max_adapters:
        steps.append(min(max(steps[-1] + 1, round(steps[-1] * 1.02)), max_adapters))
    return steps


def with_margin(adapters: int, limit: int, steps: Sequence[int]) -> int:
    """How many adapters slots have to serve to be safe for so many: `MARGIN` more, but not more than is possible."""
    return min(steps[min(bisect_left(steps, MARGIN * adapters), len(steps) - 1)], limit)


def raise_limits(
    limits: dict[Objective, int], simulator: Simulator, slots: Sequence[int], steps: Sequence[int]
) -> None:
    """Raise the limit of every objective to the highest step at which some of these slots meet it; -1 is none.

    A number of slots that fails one step above the best known is dropped.
    """
    guess = bisect_left(steps, simulator.estimated_limit)
    for max_loras in slots:
        for objective, limit in limits.items():

            def met(step: int, objective: Objective = objective, max_loras: int = max_loras) -> bool:
                return objective.met_by(simulator.run(steps[step], max_loras))

            limits[objective] = _climb(met, limit, len(steps) - 1, guess)


def _around_best(simulator: Simulator, slots: Sequence[int], adapters: int) -> list[int]:
    """Slots halfway, by their ratio, between the fewest that serve so many adapters steadily and their neighbours."""
    fewest = next((i for i, max_loras in enumerate(slots) if STEADY.met_by(simulator.run(adapters, max_loras))), None)
    if fewest is None:
        return []
    around = [min(max_loras, adapters) for max_loras in slots[max(fewest - 1, 0) : fewest + 2]]
    halfway = {round(math.sqrt(low * high)) for low, high in pairwise(around)}
    return sorted(halfway - set(slots) - {adapters})


def _climb(met: Callable[[int], bool], start: int, last: int, guess: int) -> int:
    """The highest step that is met, above `start`, which is not tried; `start` if none is.

    The first try above the bottom is the guess; from there by strides that double, then halve.
    """
    low, high, stride = start, last + 1, 1
    if start < 0 < guess <= last:
        if met(guess):
            low = guess
        else:
            high = guess
            while high - stride > low and not met(high - stride):
                high, stride = high - stride, 2 * stride
            low = max(low, high - stride)
    while high > last and low + stride <= last and met(low + stride):
        low, stride = low + stride, 2 * stride
    high = min(low + stride, high)
    while high - low > 1:
        middle = (low + high) // 2
        if met(middle):
            low = middle
        else:
            high = middle
    return low


def _step_below(steps: Sequence[int], adapters: float) -> int:
    return max(bisect_left(steps, adapters + 1e-9) - 1, 0)


def _find_safe_slots(
    simulator: Simulator, objective: Objective, slots: Sequence[int], adapters: int, margin: int
) -> None:
    """Run the fewest slots that meet the objective at `adapters` and at `margin`."""
    for max_loras in slots:
        if objective.met_by(simulator.run(adapters, max_loras)) and objective.met_by(simulator.run(margin, max_loras)):
            return
