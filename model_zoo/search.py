"""Where a mix stops being served well: for every goal the most adapters, and what the slots do at and below that."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model_zoo.grid import Recipe
from model_zoo.runs import GOALS, PUBLISHED, STEADY, Bench, Goal, Run

SHARES = (1.0, 0.9, 0.75, 0.5, 0.25)
"""Of the most adapters served steadily: where every number of slots is tried."""
MARGIN = 1.1
"""Slots are safe for N adapters when they also serve this many times as many."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """All that was run of one mix."""

    recipe: Recipe
    slots: tuple[int, ...]
    """Slot counts that memory allows, ascending; a count above the adapters served means a slot for each."""
    runs: tuple[Run, ...]
    """By adapters and slots."""


def explore(bench: Bench, slots: Sequence[int], max_adapters: int) -> None:
    """Run a mix until the limit of every goal is known to one step of the ladder, and the slots at shares of it."""
    steps = ladder(max_adapters)
    limits = find_limits(bench, slots, steps)
    tried = {steps[max(limits[PUBLISHED], 0)]}
    tried |= {steps[_step_below(steps, share * steps[max(limits[STEADY], 0)])] for share in SHARES}
    for adapters in sorted(tried):
        for max_loras in slots:
            bench.run(adapters, max_loras)
        for goal, limit in limits.items():
            if limit >= 0 and steps[limit] >= adapters:
                _find_safe_slots(bench, goal, slots, adapters, with_margin(adapters, steps[limit], steps))


def ladder(max_adapters: int) -> list[int]:
    """The numbers of adapters that are tried: all up to 50, then in steps of 2 %."""
    steps = [1]
    while steps[-1] < max_adapters:
        steps.append(min(max(steps[-1] + 1, round(steps[-1] * 1.02)), max_adapters))
    return steps


def with_margin(adapters: int, limit: int, steps: Sequence[int]) -> int:
    """How many adapters slots have to serve to be safe for so many: `MARGIN` more, but not more than is possible."""
    return min(steps[min(bisect_left(steps, MARGIN * adapters), len(steps) - 1)], limit)


def find_limits(bench: Bench, slots: Sequence[int], steps: Sequence[int]) -> dict[Goal, int]:
    """For every goal the highest step at which some number of slots meets it; -1 where none meets it at any.

    A number of slots that fails one step above the best known is dropped.
    """
    limits = dict.fromkeys(GOALS, -1)
    # From the middle outwards: the earlier the best is found, the fewer runs the others take.
    for max_loras in sorted(slots, key=lambda slots: abs(math.log(slots / 48))):
        for goal, limit in limits.items():

            def met(step: int, goal: Goal = goal, max_loras: int = max_loras) -> bool:
                return goal.met_by(bench.run(steps[step], max_loras))

            limits[goal] = _climb(met, limit, len(steps) - 1)
    return limits


def _climb(met: Callable[[int], bool], start: int, last: int) -> int:
    """The highest step in reach from `start` by strides that double, then halve; `start` itself is not tried."""
    low, stride = start, 1
    while low + stride <= last and met(low + stride):
        low, stride = low + stride, 2 * stride
    high = min(low + stride, last + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if met(middle):
            low = middle
        else:
            high = middle
    return low


def _step_below(steps: Sequence[int], adapters: float) -> int:
    return max(bisect_left(steps, adapters + 1e-9) - 1, 0)


def _find_safe_slots(bench: Bench, goal: Goal, slots: Sequence[int], adapters: int, margin: int) -> None:
    """Run the fewest slots that meet the goal at `adapters` and at `margin`."""
    for max_loras in slots:
        if goal.met_by(bench.run(adapters, max_loras)) and goal.met_by(bench.run(margin, max_loras)):
            return
