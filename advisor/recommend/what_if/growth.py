"""What becomes of a server as adapters are added: the same mix, smaller and larger, with these and other slots."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from advisor.inventory.inventory import Inventory
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.choice.configuration import DoesNotFitError
from advisor.recommend.choice.search import largest
from advisor.recommend.objective import Objective
from advisor.recommend.uncertainty import admitting
from advisor.recommend.what_if.mix import MOST_TIMES, Mix
from advisor.zoo.pair import Pair

POINTS = 24
"""Of a curve; the cliff is between two of them."""
BEYOND = 1.15
"""Times the most adapters of any slots is where curves end that have not ended before: just behind the cliff."""
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
    """Points of rising numbers of adapters under the same slots.

    They end with the first that misses the objective beyond what is served. Behind it requests queue up for all of an
    hour: the models tell that from a steady hour, but not how bad it is, and rise and fall there as it happens. Up to
    there, more adapters are never served faster; where models of trees say so, it is evened out from what is served on
    either way, which stays as it is told elsewhere.
    """

    max_loras: int
    kv_capacity_tokens: int
    points: tuple[Point, ...]

    @property
    def ended(self) -> bool:
        """Whether the last point is the first that misses the objective."""
        return not self.points[-1].met


@dataclass(frozen=True, slots=True)
class Growth:
    """What one GPU takes of a mix, beyond what there is as well."""

    adapters: int
    """Of the mix as it is, the most that meet the objective with slots of their own; at most `MOST_TIMES` as many as
    there are."""
    at_most: bool
    """Whether more was not looked for."""
    host_full: bool
    """Whether it is host memory that holds no more."""
    curves: tuple[Curve, ...]
    """By slots; those recommended among them."""
    ttft: str = "ttft_ms"
    """What of the TTFT the points tell, by its name among measures: the percentile that is limited, or the mean."""
    itl: str = "itl_ms"
    """The same of the ITL."""


def grow(inventory: Inventory, pair: Pair, objective: Objective, recommendation: Recommendation) -> Growth | None:
    """How many adapters of the mix one GPU takes, and curves of what becomes of it; None where nothing is feasible."""
    if recommendation.settings is None:
        return None
    mix, served = Mix(inventory, admitting(pair, inventory), objective), max(recommendation.admission.asked, 1)
    if recommendation.binding is not None and not recommendation.admission.rejected:
        size = recommendation.binding.adapters
    else:
        size, _ = largest(min(served, mix.most), mix.most, mix.misses)
    slots = recommendation.settings.max_loras
    wanted = {max(round(slots * times), 1) for times in SLOTS} if "max_loras" not in inventory.fixed else {slots}
    reached, host_full = size == mix.most, mix.most < MOST_TIMES * len(mix)
    sizes = _sizes(min(math.ceil(BEYOND * max(size, served)), mix.most), served)
    curves = (_curve(mix, sizes, each, served) for each in sorted(wanted))
    shown = objective.shown("ttft"), objective.shown("itl")
    drawn = tuple(curve for curve in curves if curve is not None)
    return Growth(size, reached and not host_full, reached and host_full, drawn, *shown)


def _sizes(most: int, served: int) -> list[int]:
    """Numbers of adapters from 1 to `most`, evenly apart, those that are served among them."""
    return sorted({max(round(most * step / POINTS), 1) for step in range(1, POINTS + 1)} | {served})


def _curve(mix: Mix, sizes: Sequence[int], slots: int, served: int) -> Curve | None:
    """The curve of so many slots, with which so many adapters may be served; None where the server does not start."""
    points, capacity, objective = list[Point](), 0, mix.objective
    for size in sizes:
        adapters = mix.some(size)
        try:
            expected = mix.configurator.expect(adapters, slots)
        except DoesNotFitError:
            return None
        capacity = expected.kv_capacity_tokens
        points.append(
            Point(
                size,
                adapters.offered_tok_s,
                expected.throughput_tok_s,
                expected.time_ms(objective.shown("itl")),
                expected.time_ms(objective.shown("ttft")),
                not objective.misses(expected),
            )
        )
    reached = served if any(point.met and point.adapters == served for point in points) else 0
    missed = (i for i, point in enumerate(points) if point.adapters > reached and not point.met)
    end = next(missed, len(points))
    return Curve(slots, capacity, (*_evened(points[:end], served), *points[end : end + 1]))


def _evened(points: Sequence[Point], served: int) -> Iterator[Point]:
    """The points with throughput and times that only rise, those of what is served as they were."""
    known = bisect_right([point.adapters for point in points], served) - 1
    names = ("throughput_tok_s", "itl_ms", "ttft_ms")
    values = np.array([[getattr(point, name) for name in names] for point in points]).reshape(-1, len(names))
    if known >= 0:
        values[: known + 1] = np.minimum.accumulate(values[known::-1])[::-1]
    values[max(known, 0) :] = np.maximum.accumulate(values[max(known, 0) :])
    for point, evened in zip(points, values.tolist(), strict=True):
        yield replace(point, **dict(zip(names, evened, strict=True)))
