"""A mean and percentiles of one time, made those of one distribution.

Each is predicted by a model of its own: the mean best, for it decides what is admitted; percentiles roughly. Together
they are told as what one hour can bring.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from advisor.recommend.objective import Expectation
from twin.service_level import PERCENTS, measure

TAIL = 2.0
"""Times the last percentile, what the times beyond it are at most on average."""
HALVINGS = 60
"""Of the range that a factor is sought in: as far as numbers tell."""


def coherent(expected: Expectation) -> Expectation:
    """The expectation with percentiles that rise and allow the mean; means stay as they are.

    Figures of simulated hours are left alone: they are means over hours of what each of them had.
    """
    if expected.hours:
        return expected
    found = dict(expected.percentiles)
    for name in ("ttft", "itl"):
        here = {share / 100: key for share, each in PERCENTS.items() if (key := measure(name, each)) in found}
        told = allowing(expected.time_ms(measure(name, "mean")), {share: found[key] for share, key in here.items()})
        found |= {here[share]: time_ms for share, time_ms in told.items()}
    return replace(expected, percentiles=found)


def allowing(mean: float, percentiles: Mapping[float, float]) -> dict[float, float]:
    """Percentiles, by the share of times that is below, as near to these as can be of times with such a mean.

    They rise. The median is no more than the mean, as of times that are seldom long and never negative. Those above it
    are moved together, up or down, until the mean lies between the least that they allow (all times as short as may be
    between two percentiles) and the most (as long as may be, and `TAIL` times the last beyond it).
    """
    shares = sorted(percentiles)
    rising, least = dict[float, float](), 0.0
    for share in shares:
        least = max(least, percentiles[share])
        rising[share] = min(least, mean) if share <= 0.5 else least
    low, high = bounds(rising)
    if not high or low <= mean <= high:
        return rising
    upper = [share for share in shares if share > 0.5]

    def moved(times: float) -> dict[float, float]:
        median = max((time for share, time in rising.items() if share <= 0.5), default=0.0)
        return rising | {share: max(rising[share] * times, median) for share in upper}

    # Both bounds rise with the factor; the right one lies where the one that is exceeded meets the mean. Half and more
    # of the most that is allowed is of the times above the median.
    bound, below, above = (0, 0.0, 1.0) if mean < low else (1, 1.0, 2 * mean / high)
    for _ in range(HALVINGS):
        middle = (below + above) / 2
        below, above = (middle, above) if bounds(moved(middle))[bound] < mean else (below, middle)
    return moved(below if bound == 0 else above)


def bounds(percentiles: Mapping[float, float]) -> tuple[float, float]:
    """The least and the most mean that rising percentiles allow, by the share of times that is below each."""
    ends = [0.0, *sorted(percentiles), 1.0]
    times = [0.0, *(percentiles[share] for share in ends[1:-1])]
    weights = [after - before for before, after in pairwise(ends)]
    low = math.fsum(weight * time for weight, time in zip(weights, times, strict=True))
    high = math.fsum(weight * time for weight, time in zip(weights, [*times[1:], TAIL * times[-1]], strict=True))
    return low, high
