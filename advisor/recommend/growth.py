"""What becomes of a server as adapters are added: the same mix, smaller and larger, with these and other slots."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from advisor.inventory.inventory import Inventory
from advisor.recommend.configuration import Configurator, DoesNotFitError
from advisor.recommend.context import settle_context
from advisor.recommend.objective import Objective
from advisor.recommend.order import admission_order
from advisor.recommend.recommendation import Recommendation
from advisor.recommend.search import largest
from advisor.zoo.pair import Pair
from twin.workload import Workload

MOST_TIMES = 8
"""So many times the adapters that there are is as far as anyone looks ahead."""
POINTS = 24
"""Of a curve; the cliff is between two of them."""
BEYOND = 1.6
"""Times the adapters that are served is where curves end: behind the cliff, where nothing happens any more."""
SLOTS = (0.5, 0.71, 1.0, 1.41, 2.0)
"""Times the recommended slots are those of the curves."""


@dataclass(frozen=True, slots=True)
class Point:
    """So many adapters of the mix on a server with given slots."""

    adapters: int
    offered_tok_s: float
    throughput_tok_s: float
    itl_ms: float
    ttft_ms: float
    met: bool
    """Whether the objective is."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of rising numbers of adapters under the same slots."""

    max_loras: int
    kv_capacity_tokens: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Growth:
    """What one GPU takes of a mix, beyond what there is as well."""

    adapters: int
    """Of the mix as it is, the most that meet the objective with slots of their own; at most `MOST_TIMES` as many as
    there are."""
    at_most: bool
    """Whether more was not looked for."""
    curves: tuple[Curve, ...]
    """By slots; those recommended among them."""


def grow(inventory: Inventory, pair: Pair, objective: Objective, recommendation: Recommendation) -> Growth | None:
    """How many adapters of the mix one GPU takes, and curves of what becomes of it; None where nothing is feasible."""
    if recommendation.settings is None:
        return None
    fixed = dict(inventory.fixed)
    context = settle_context(inventory.mix, pair.profile, inventory.server, fixed)
    mix = (context.accepted or inventory.mix).take(np.flatnonzero(inventory.mix.rate > 0))
    names = tuple(name for name, rate in zip(inventory.names, inventory.mix.rate, strict=True) if rate > 0)
    order = admission_order(mix, names)

    def some(size: int) -> Workload:
        """So many adapters of the mix, again from the first one where there are fewer."""
        return mix.take(order[np.arange(size) % len(order)])

    configurator = Configurator(pair, objective, fixed)
    most, served = MOST_TIMES * len(order), max(recommendation.admission.adapters, 1)
    size, _ = largest(min(served, most), most, _misses(configurator, some, objective))
    slots = recommendation.settings.max_loras
    wanted = {max(round(slots * times), 1) for times in SLOTS} if "max_loras" not in fixed else {slots}
    sizes = _sizes(min(math.ceil(BEYOND * max(size, served)), most), served)
    curves = (_curve(configurator, some, sizes, each, objective) for each in sorted(wanted))
    return Growth(size, size == most, tuple(curve for curve in curves if curve is not None))


def _misses(
    configurator: Configurator, some: Callable[[int], Workload], objective: Objective
) -> Callable[[int], list[str]]:
    def misses(size: int) -> list[str]:
        try:
            return objective.misses(configurator.configure(some(size)).expected)
        except DoesNotFitError as error:
            return [str(error)]

    return misses


def _sizes(most: int, served: int) -> list[int]:
    """Numbers of adapters from 1 to `most`, evenly apart, those that are served among them."""
    return sorted({max(round(most * step / POINTS), 1) for step in range(1, POINTS + 1)} | {served})


def _curve(
    configurator: Configurator, some: Callable[[int], Workload], sizes: Sequence[int], slots: int, objective: Objective
) -> Curve | None:
    """The curve of so many slots; None where the server does not start with them."""
    points, capacity = list[Point](), 0
    for size in sizes:
        mix = some(size)
        try:
            expected = configurator.expect(mix, slots)
        except DoesNotFitError:
            return None
        capacity = expected.kv_capacity_tokens
        points.append(
            Point(
                size,
                mix.offered_tok_s,
                expected.throughput_tok_s,
                expected.itl_ms,
                expected.ttft_ms,
                not objective.misses(expected),
            )
        )
    return Curve(slots, capacity, tuple(points))
