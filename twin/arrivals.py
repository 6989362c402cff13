"""When requests arrive: with exponential (Poisson), Gamma or log-normal gaps, at rates that may switch over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]

ALIKE = 1e-9
"""Rates that differ by such a share are the same."""
NEARLY = 0.1
"""By such a share fewer requests are nearly as many: at other gaps they may be harder to serve."""
PORTION = 1 << 16
"""Requests that are drawn at a time: an hour of overload has millions, and a step of the drawing a copy of each."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of time; phases follow each other, and after the last comes the first again."""

    duration_s: float
    """Seconds, above 0."""
    scale: float = 1.0
    """What every adapter's rate is multiplied by, 0 or more."""
    cv: float | None = None
    """Coefficient of variation of every adapter's gaps; None leaves each its own."""
    lognormal: bool | None = None
    """Whether every adapter's gaps are log-normal rather than Gamma; None leaves each its own."""


def mean_scale(phases: Sequence[Phase], duration_s: float | None = None) -> float:
    """What the phases multiply rates by, on average over the first `duration_s` seconds (default: in the long run)."""
    if not phases:
        return 1.0
    if duration_s is None:
        duration_s = sum(phase.duration_s for phase in phases)
    time, load, _ = _switches(phases, duration_s)
    return float(load[-1] / time[-1])


class Busiest(NamedTuple):
    """The busiest time of some length."""

    scale: float
    """What the phases multiply rates by, on average over it."""
    amid: Phase
    """The phase in its middle; or in that of a time nearly as busy, where its gaps are harder to serve."""
    start_s: float
    """When it begins, s after the first phase does."""


def busiest(
    phases: Sequence[Phase],
    window_s: float,
    own_cv: float = 1.0,
    *,
    around_s: float | None = None,
    evenest: bool = False,
) -> Busiest:
    """The busiest time of that length; of those alike the last one of the hardest gaps, as what has come by its end is
    answered later. These are the burstiest or the `evenest`; adapters' own (`own_cv`) where a phase leaves them.

    It is the busiest of those around a busiest time of `around_s`, where that is given: what is too much for a shorter
    time is missed by none that leaves it out.
    """
    cycle_s = sum(phase.duration_s for phase in phases)
    time, load, between = _switches(phases, 2 * cycle_s + window_s)

    def rates_of(starts: Floats, length_s: float) -> Floats:
        rates: Floats = (np.interp(starts + length_s, time, load) - np.interp(starts, time, load)) / length_s
        return rates

    starts = _turns(time, window_s, 2 * cycle_s)
    if around_s is not None:
        within = _turns(time, around_s, time[-1] - around_s)
        rates = rates_of(within, around_s)
        peaks = within[rates >= rates.max() * (1 - ALIKE)]
        starts = np.unique(np.concatenate([starts, peaks, np.maximum(peaks + around_s - window_s, 0.0)]))
        following = peaks[np.minimum(np.searchsorted(peaks, starts), len(peaks) - 1)]
        starts = starts[(following >= starts) & (following + around_s <= starts + window_s * (1 + ALIKE))]
    rates = rates_of(starts, window_s)
    most = float(rates.max())
    amid = np.minimum(np.searchsorted(time, starts + window_s / 2, side="right") - 1, len(between) - 1)
    hard = np.array([(-1.0 if evenest else 1.0) * _cv(between[each], own_cv) for each in amid])
    nearly, alike = (np.flatnonzero(rates >= most * (1 - share)) for share in (NEARLY, ALIKE))
    hardest, last = (max(some, key=lambda each: (hard[each], each)) for some in (nearly, alike))
    phase = between[amid[hardest if hard[hardest] > hard[last] else last]]
    return Busiest(most, phase, float(starts[last]) % cycle_s)


def _turns(time: Floats, window_s: float, end_s: float) -> Floats:
    """Where windows of that length start, the busiest of which is among them: rates turn at these times only."""
    starts = np.unique(np.concatenate([time, np.maximum(time - window_s, 0.0)]))
    return starts[starts <= end_s]


def _cv(phase: Phase, own_cv: float) -> float:
    return own_cv if phase.cv is None else phase.cv


def turned(phases: Sequence[Phase], start_s: float) -> tuple[Phase, ...]:
    """The same phases from so many seconds after the first began: that one comes last, as far as it is over by then."""
    ends = np.cumsum([phase.duration_s for phase in phases])
    first = min(int(np.searchsorted(ends, start_s, side="right")), len(phases) - 1)
    over_s = start_s - float(ends[first] - phases[first].duration_s)
    if over_s <= 0.0:
        return (*phases[first:], *phases[:first])
    rest = replace(phases[first], duration_s=phases[first].duration_s - over_s)
    return (rest, *phases[first + 1 :], *phases[:first], replace(phases[first], duration_s=over_s))


def draw_arrivals(
    rng: np.random.Generator, rate: Floats, *, cv: Floats, lognormal: Bools, phases: Sequence[Phase], duration_s: float
) -> tuple[Floats, Ints]:
    """Times of arrival within `duration_s` seconds, ascending, and the adapter of each.

    `rate` (requests/s), `cv` and `lognormal` have one entry per adapter. A scale stretches or shrinks the gaps and
    leaves their kind as it is. Where the kind switches, every adapter starts anew in the middle of a gap, as at
    time 0, so that rates are right from the first second on.
    """
    if not phases:
        return _alike(rng, rate, cv, lognormal, duration_s)
    time, load, between = _switches(phases, duration_s)
    arrivals, adapters = [np.empty(0)], [np.empty(0, dtype=np.int32)]
    for phase, start, stop in _stretches(between, load):
        own_cv = cv if phase.cv is None else np.full_like(cv, phase.cv)
        own_kind = lognormal if phase.lognormal is None else np.full_like(lognormal, phase.lognormal)
        arrival, adapter = _alike(rng, rate, own_cv, own_kind, stop - start)
        arrivals.append(start + arrival)
        adapters.append(adapter)
    return np.interp(np.concatenate(arrivals), load, time), np.concatenate(adapters)


def portions(count: int) -> Iterator[slice]:
    """`count` requests in portions, in order."""
    return (slice(start, min(start + PORTION, count)) for start in range(0, count, PORTION))


def _switches(phases: Sequence[Phase], duration_s: float) -> tuple[Floats, Floats, list[Phase]]:
    """Time 0, the time of every switch, and the end, s; what a clock that runs faster while rates are higher shows
    then, s; and the phase between each of them and the next."""
    each = np.array([phase.duration_s for phase in phases])
    cycles = int(duration_s // each.sum()) + 1
    ends = np.cumsum(np.tile(each, cycles))
    ends = np.minimum(ends[: int(np.searchsorted(ends, duration_s)) + 1], duration_s)
    between = [phases[i % len(phases)] for i in range(len(ends))]
    time = np.concatenate([[0.0], ends])
    scale = np.array([phase.scale for phase in between])
    return time, np.concatenate([[0.0], np.cumsum(np.diff(time) * scale)]), between


def _stretches(between: list[Phase], load: Floats) -> Iterator[tuple[Phase, float, float]]:
    """Phases that follow each other with the same kind of gaps as one, with the clock's reading at start and end."""
    for _, group in groupby(enumerate(between), key=lambda each: (each[1].cv, each[1].lognormal)):
        members = list(group)
        yield members[0][1], float(load[members[0][0]]), float(load[members[-1][0] + 1])


def _alike(
    rng: np.random.Generator, rate: Floats, cv: Floats, lognormal: Bools, duration_s: float
) -> tuple[Floats, Ints]:
    """Arrivals at constant rates: Poisson adapters together, as one process whose events are dealt out by rate; the
    others one by one."""
    poisson = (cv == 1.0) & ~lognormal
    arrival, adapter = _poisson(rng, np.where(poisson, rate, 0.0), duration_s)
    others = np.flatnonzero(~poisson & (rate > 0))
    if others.size:
        group = (np.cumsum(rate[others]) * duration_s // PORTION).astype(np.int64)
        drawn = [
            (times, part[which])
            for part in np.split(others.astype(np.int32), np.flatnonzero(np.diff(group)) + 1)
            for times, which in _renewals(rng, rate[part], cv[part], lognormal[part], duration_s)
        ]
        arrival = np.concatenate([arrival, *(times for times, _ in drawn)])
        adapter = np.concatenate([adapter, *(which for _, which in drawn)])
        del drawn  # as large as the arrivals, and no longer needed while they are sorted
        order = np.argsort(arrival, kind="stable")
        arrival, adapter = arrival[order], adapter[order]
    return arrival, adapter


def _poisson(rng: np.random.Generator, rate: Floats, duration_s: float) -> tuple[Floats, Ints]:
    total = float(rate.sum())
    if total == 0.0:
        return np.empty(0), np.empty(0, dtype=np.int32)
    # Given their number, the events of a Poisson process are uniform; as running sums of exponential gaps they come
    # sorted.
    count = int(rng.poisson(total * duration_s))
    sums = rng.standard_exponential(count + 1)
    np.cumsum(sums, out=sums)
    arrival = sums[:-1]
    arrival *= duration_s / sums[-1]
    return arrival, _deal_out(rng, rate / total, count)


def _deal_out(rng: np.random.Generator, share: Floats, count: int) -> Ints:
    """Draw `count` indices with these probabilities: Walker's alias method, constant time per draw."""
    n = len(share)
    keep, alias = _alias_table(share * n)
    dealt = np.empty(count, dtype=np.int32)
    for portion in portions(count):
        where = rng.random(portion.stop - portion.start) * n
        index = where.astype(np.int32)
        dealt[portion] = np.where(where - index < keep[index], index, alias[index])
    return dealt


def _alias_table(weight: Floats) -> tuple[Floats, Ints]:
    """Of `weight`, whose mean is 1: how much of each index stays its own, and the index that makes it up to 1.

    What the small ones lack is taken from the large ones, one after another. One that has given so much that it is
    small itself gets the rest of what was asked of it from the next. So sums tell who gives to whom, all at once.
    """
    keep, alias = weight.copy(), np.arange(len(weight), dtype=np.int32)
    small, large = (np.flatnonzero(kind)[::-1] for kind in (weight < 1.0, weight >= 1.0))
    if not large.size:  # all are 1 but for rounding
        return keep, alias
    lacking, spare = np.cumsum(1.0 - weight[small]), np.cumsum(weight[large] - 1.0)
    before = np.concatenate([[0.0], lacking[:-1]])
    alias[small] = large[np.minimum(np.searchsorted(spare, before), len(large) - 1)]
    asked = np.searchsorted(lacking, spare, "right")  # the small one that asks each large one for more than it has
    given_out = asked[:-1] < len(small)
    giving = large[:-1][given_out]
    keep[giving] = 1.0 - (lacking[asked[:-1][given_out]] - spare[:-1][given_out])
    alias[giving] = large[1:][given_out]
    keep[large[-1]] = 1.0
    return keep, alias


def _renewals(
    rng: np.random.Generator, rate: Floats, cv: Floats, lognormal: Bools, duration_s: float
) -> Iterator[tuple[Floats, Ints]]:
    """Arrivals of renewal processes with Gamma (shape 1/cv^2) or log-normal gaps, started in the middle of a gap, with
    the process of each, a part at a time and in no order.

    All processes are drawn together: as many gaps of each as should fill the time that it has left, and then twice as
    many of those that were not enough, until all are.
    """
    # The gap that covers time 0 is longer than most: it is met in proportion to its length.
    reached = rng.random(len(rate)) * _gaps(rng, rate, cv, lognormal, of_time_0=True)
    which, more = np.flatnonzero(reached < duration_s).astype(np.int32), 1.0
    yield reached[which], which
    while which.size:
        expected = (duration_s - reached[which]) * rate[which]
        count = (more * (expected + np.sqrt(expected))).astype(np.int64) + 1
        owner, ends = np.repeat(which, count), np.cumsum(count)
        sums = np.cumsum(_gaps(rng, rate[owner], cv[owner], lognormal[owner]))
        before = np.concatenate([[0.0], sums[ends[:-1] - 1]])
        sums += np.repeat(reached[which] - before, count)
        reached[which] = sums[ends - 1]
        within = sums < duration_s
        yield sums[within], owner[within]
        which, more = which[reached[which] < duration_s], 2 * more


def _gaps(rng: np.random.Generator, rate: Floats, cv: Floats, lognormal: Bools, *, of_time_0: bool = False) -> Floats:
    """One gap each, s; or one of those that cover time 0: the longer, the more often."""
    gaps = np.empty(len(rate))
    variance = np.log1p(cv[lognormal] ** 2)
    mu = -np.log(rate[lognormal]) + (variance / 2 if of_time_0 else -variance / 2)
    gaps[lognormal] = rng.lognormal(mu, np.sqrt(variance))
    gamma = ~lognormal
    gaps[gamma] = rng.gamma(1.0 / cv[gamma] ** 2 + of_time_0, cv[gamma] ** 2 / rate[gamma])
    return gaps
