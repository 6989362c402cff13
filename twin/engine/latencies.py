"""Times as vLLM's benchmark tells them apart: to the first token, between tokens, of a request; and their percentiles.

They are counted in bins, for any number of them in memory that does not grow. Every power of two is cut into 256, so
that no bin is wider than 0.4 % and a percentile is within 0.2 % of what it would be of the times themselves.

What the client sees is the engine's times and what the front end adds to them (`twin.profile.FrontEnd`). Between its
stalls and the requests there is nothing but chance, which is therefore not drawn but dealt out evenly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.engine.compiled import Record, jit
from twin.engine.latency import StepCost

Histogram = NDArray[np.int64]
"""Of each bin, how many times fell into it."""

SHORTEST, LONGEST = -20, 24
"""Times are told apart from 2^-20 s (1 us) to 2^24 s (half a year); others count as the nearest of these."""
FINE = 8
"""Powers of two are cut into 2^FINE bins: the leading bits of a float beside its exponent."""
BINS = (LONGEST - SHORTEST) << FINE
_MANTISSA, _BIAS = 52, 1023
"""Of a double: bits of its fraction, and what is added to its exponent."""
_EDGES_S = ((np.arange(BINS + 1) + ((_BIAS + SHORTEST) << FINE)) << (_MANTISSA - FINE)).view(np.float64)
_MIDDLES_S = (_EDGES_S[:-1] + _EDGES_S[1:]) / 2
_NEVER = 30.0
"""Times its mean is what no exponential length exceeds."""
_EVENLY = 0.8191725133961645, 0.6710436067037893, 0.5497004779019703
"""Multiples of these, without their whole parts, fill a cube evenly (powers of the root of x^4 = x + 1)."""


class Latencies(NamedTuple):
    """Times as the client sees them; those between tokens, and the next, as the engine has them."""

    ttft: Histogram
    """Time to first token, of completed requests."""
    itl: Histogram
    """Between one output token and the next, of all requests."""
    tpot: Histogram
    """Time per output token after the first, of completed requests that have more than one."""
    e2el: Histogram
    """End-to-end latency, of completed requests."""


class Completed(Record):
    """Sums over completed requests."""

    requests: int
    input_tokens: int
    output_tokens: int
    answers: int
    """Requests of more than one output token."""
    ttft_s: float
    decode_s: float
    """Time from the first to the last token, s, of the engine."""
    tpot_s: float
    """That over the tokens after the first, s."""
    e2el_s: float
    """Time from the arrival to the last token, s."""


class Seen(NamedTuple):
    """A request as its client saw it: when it was sent, and its first and last token, s; gaps between tokens."""

    arrival_s: float
    first_s: float
    last_s: float
    gaps: int


def new_latencies() -> Latencies:
    """No times at all."""
    return Latencies(*(np.zeros(BINS, dtype=np.int64) for _ in Latencies._fields))


@jit
def add(histogram: Histogram, time_s: float, count: int) -> None:
    """So many times of one length, s."""
    bits = int(np.float64(time_s).view(np.int64))
    place = (bits >> (_MANTISSA - FINE)) - ((_BIAS + SHORTEST) << FINE)
    histogram[min(max(place, 0), BINS - 1)] += count


@jit
def complete(latencies: Latencies, completed: Completed, seen: Seen) -> None:
    """Count a request whose last token is there."""
    completed.requests += 1
    completed.ttft_s += seen.first_s - seen.arrival_s
    completed.e2el_s += seen.last_s - seen.arrival_s
    add(latencies.ttft, seen.first_s - seen.arrival_s, 1)
    add(latencies.e2el, seen.last_s - seen.arrival_s, 1)
    if seen.gaps:
        tpot_s = (seen.last_s - seen.first_s) / seen.gaps
        completed.answers += 1
        completed.tpot_s += tpot_s
        add(latencies.tpot, tpot_s, 1)


@jit
def stalled_share(cost: StepCost, coming_and_going: float) -> float:
    """Of the time, what the front end is held up for while so many adapters come and go."""
    share = cost.merged_per_adapter * coming_and_going
    return share / (1.0 + share)


@jit
def held_up_s(cost: StepCost, share: float, request: int, which: int) -> float:
    """How long a request's arrival (0), first token (1) or last token (2) is held up by the front end, s.

    Whoever comes amid a stall waits for its end; of exponential lengths, as long as a stall lasts on average.
    """
    place = (request + 0.5) * _EVENLY[which]
    chance = place - math.floor(place)
    return share * cost.stall_every_s * math.log(share / chance) if chance < share else 0.0


def between_tokens(itl: Histogram, stalled: float, merged: float, every_s: float) -> NDArray[np.float64]:
    """How often the client sees gaps of which length, from those of the engine.

    The front end is held up for the share `stalled` of the time, once in `every_s`: what tokens come in that time are
    there at its end, the share `merged` of all tokens in one piece with another.
    """
    total = float(itl.sum())
    if not every_s or not stalled or not total:
        return itl.astype(np.float64)
    used = np.flatnonzero(itl)
    token_s = float((itl[used] * _MIDDLES_S[used]).sum()) / total
    met = min(token_s / every_s, 1.0 - stalled)
    seen: NDArray[np.float64] = (1.0 - stalled - met) * itl.astype(np.float64)
    seen[0] += total * max(stalled - merged, 0.0)
    # From a token to the end of the stall that comes before the next: half a gap and an exponential length.
    least_s, mean_s = token_s / 2, stalled * every_s
    first, last = np.searchsorted(_EDGES_S, (least_s, least_s + _NEVER * mean_s), "right") - 1
    longer = np.exp(-np.maximum(_EDGES_S[first : last + 2] - least_s, 0.0) / mean_s)
    seen[first : last + 1] += total * met * (longer[:-1] - longer[1:])
    return seen


def percentiles_ms(histogram: NDArray[np.int64] | NDArray[np.float64], percents: Sequence[float]) -> tuple[float, ...]:
    """Percentiles in ms, interpolated between the times next to them as NumPy does; NaN of no times."""
    upto = np.cumsum(histogram)
    count = float(upto[-1])
    if not count:
        return (math.nan,) * len(percents)
    found = []
    for percent in percents:
        rank = percent / 100 * max(count - 1, 0.0)
        places = np.searchsorted(upto, (math.floor(rank), math.ceil(rank)), "right")
        below, above = _MIDDLES_S[np.minimum(places, BINS - 1)]
        found.append(1e3 * float(below + (above - below) * (rank % 1)))
    return tuple(found)
