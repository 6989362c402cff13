"""Where a mix stops being served well: the most adapters by every objective, and what the slots do up to there."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from model_zoo.campaign.grid import Grid, Recipe
from model_zoo.campaign.runs import PUBLISHED, STEADY, Objective, SimulatedRun, Simulator, most_slots, searched

SHARES = (1.0, 0.85, 0.6, 0.3)
"""Of the most adapters served steadily: where every number of slots is tried."""
OVERLOADS = (1.4, 4.0)
"""Times the most adapters that do not starve: how a server fares beyond its limit."""
OVERLOADED_SLOTS = 4
"""Every so many-th number of slots is tried there."""
SCATTERED, REACH = 4, (0.02, 1.3)
"""Runs anywhere, at shares of the limit within this reach, with any slots up to one for each adapter."""
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
    """Mixes of the papers' kind at the points of the papers' grid; none where the grid itself is of points."""

    @property
    def runs(self) -> int:
        """How many there were."""
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
    slots = _allowed_slots(simulator, grid)
    explore(simulator, slots, grid.max_adapters)
    return Exploration(simulator.recipe, tuple(slots), tuple(simulator.runs))


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
    wanted = (max(round(times * simulator.estimated_slots), 1) for times in grid.slots if most)
    return sorted({min(count, most) for count in wanted})


def explore(simulator: Simulator, slots: Sequence[int], max_adapters: int) -> None:
    """Run a mix until the limits it is `searched` for are known to one step of the ladder, the slots at shares of
    them, and some configurations anywhere below and beyond.
    """
    if not slots:
        return
    steps = ladder(max_adapters)
    limits = dict.fromkeys(searched(simulator.recipe), -1)
    # From the middle outwards: the earlier the best is found, the fewer runs the others take.
    outwards = sorted(slots, key=lambda count: abs(math.log(count / simulator.estimated_slots)))
    raise_limits(limits, simulator, outwards, steps)
    steady, most = steps[max(limits[STEADY], 0)], steps[max(limits[PUBLISHED], 0)]
    for adapters in sorted({most} | {steps[_step_below(steps, share * steady)] for share in SHARES}):
        for max_loras in slots:
            simulator.run(adapters, max_loras)
        for objective, limit in limits.items():
            if limit >= 0 and steps[limit] >= adapters:
                _find_safe_slots(simulator, objective, slots, adapters, with_margin(adapters, steps[limit], steps))
    for factor in OVERLOADS if most < max_adapters else ():
        for max_loras in slots[::OVERLOADED_SLOTS]:
            simulator.run(min(round(factor * most), max_adapters), max_loras)
    for adapters, max_loras in _anywhere(simulator.recipe.number, most, slots[-1], max_adapters):
        simulator.run(adapters, max_loras)


def _anywhere(seed: int, limit: int, most_loras: int, max_adapters: int) -> Iterator[tuple[int, int]]:
    """Configurations, each number at random by its logarithm."""
    random = np.random.default_rng([seed, 11])
    for share, slots in random.uniform(size=(SCATTERED, 2)):
        adapters = round(limit * REACH[0] * (REACH[1] / REACH[0]) ** float(share))
        adapters = min(max(adapters, 1), max_adapters)
        yield adapters, max(round(min(adapters, most_loras) ** float(slots)), 1)


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
