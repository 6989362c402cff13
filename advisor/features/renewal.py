"""Requests of an adapter as a renewal process with Gamma gaps: when it was asked last, and whether soon before.

With gaps of mean 1/q and coefficient of variation c, their shape is k = 1/c^2, and with x = k q s

    a gap longer than s                        Q(k, x)
    a request within the last s seconds        q s Q(k, x) + P(k + 1, x)

where P and Q are the regularised incomplete Gamma functions; the second is the integral of q times the first (the age
of a renewal process). Poisson arrivals are those with c = 1: exp(-q s) and 1 - exp(-q s).

A burst of requests that come together lasts as long as the longest of their answers. Of m answers with exponential
lengths that is H(m) times the mean, and where m is geometric with mean M it is ln M / (1 - 1 / M) times; answers that
vary by v, in standard deviations over the mean, exceed the mean by so much of it. Where requests are independent no
law of the lengths matters (M/G/inf), so that M is how many more come together than of Poisson arrivals.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_CV, MOST_X = 0.25, 60.0
"""Gaps less varied than that are as good as regular; Q(16, 60) is below 1e-15."""
HALVINGS = 20
"""Of the logarithm of a variation, down to a millionth."""
PRECISION = 1e-9
"""Relative, of the sum of a series whose terms fall in the end."""
TERMS, FEWER = 4, 0.8
"""Of so many terms one is looked at, and sums that have settled are put aside at such a share of them: both cost about
as much as a further term."""


class Renewal(NamedTuple):
    """Of adapters and spans of time; shape (adapters, spans)."""

    longer: Floats
    """Share of the gaps that are longer."""
    asked: Floats
    """Chance that there was a request within such a span."""


def renewal(rate: Floats, cv: Floats, span_s: Floats) -> Renewal:
    """Gaps of these rates, requests/s, and variations, shape (adapters,), beside spans, s, of shape (spans,), or of
    (adapters, spans) where each adapter has its own.
    """
    expected = rate[:, np.newaxis] * span_s
    if np.all(cv == 1.0):
        longer = np.exp(-expected)
        return Renewal(longer, 1.0 - longer)
    shape = np.maximum(cv, LEAST_CV)[:, np.newaxis] ** -2
    x = np.clip(shape * expected, 1e-300, MOST_X)
    first = np.exp(shape * np.log(x) - x - np.array([[math.lgamma(each + 1)] for each in shape[:, 0]]))
    total = first * _series(np.broadcast_to(shape, x.shape).ravel(), x.ravel()).reshape(x.shape)
    within = np.minimum(total, 1.0)
    return Renewal(1.0 - within, np.minimum(expected * (1.0 - within) + np.maximum(within - first, 0.0), 1.0))


def _series(shape: Floats, x: Floats) -> Floats:
    """Sums of 1 + x / (k + 1) + x^2 / ((k + 1) (k + 2)) + ..., shape (n,); those that have settled are put aside."""
    settled, still = np.ones_like(x), np.arange(len(x))
    term, total, count = np.ones_like(x), np.ones_like(x), 0
    while len(still):
        for _ in range(TERMS):
            count += 1
            term *= x / (shape + count)
            total += term
        going = term > PRECISION * total
        if np.count_nonzero(going) < FEWER * len(going):
            settled[still] = total
            still, shape, x, term, total = still[going], shape[going], x[going], term[going], total[going]
    return settled


def gamma_cv(rate: Floats, cv: Floats, span_s: Floats) -> Floats:
    """The variation of Gamma gaps with which as many adapters are asked within such a span as with log-normal gaps.

    Log-normal gaps as uneven as Gamma gaps are, in the long run, hardly come in bursts: very short ones are rare, and
    their variance is that of a few very long ones. Shapes (adapters,).
    """
    known, each = np.unique(np.stack([rate, cv, span_s]), axis=1, return_inverse=True)
    rate, cv, span_s = known
    spread = np.sqrt(np.log1p(cv**2))
    beyond = np.log(np.maximum(rate * span_s, 1e-300)) / spread + spread / 2  # of ln(gap), in its deviations
    # A request within the last s: q s Q(s), and the part of all time that gaps shorter than s take.
    longer, of_shorter = (0.5 * np.vectorize(math.erfc)(x / math.sqrt(2)) for x in (beyond, spread - beyond))
    asked = rate * span_s * longer + of_shorter
    low, high = np.full_like(cv, LEAST_CV), np.maximum(cv, LEAST_CV)
    for _ in range(HALVINGS):
        middle = np.sqrt(low * high)
        fewer = renewal(rate, middle, span_s[:, np.newaxis]).asked[:, 0] < asked
        low, high = np.where(fewer, low, middle), np.where(fewer, middle, high)
    return np.sqrt(low * high)[each]


def answering(gaps: Renewal, rate: Floats, cv: Floats, answer_s: Floats, spread: float) -> Floats:
    """Chance that an adapter has a request in flight, when answers take so long and vary by `spread` of their mean.

    `gaps` are the renewals beside these times, as `renewal` finds them.
    """
    if np.all(cv <= 1.0):
        return gaps.asked
    together = np.exp(-rate[:, np.newaxis] * answer_s) / np.maximum(gaps.longer, 1e-12)
    together = np.clip(together, 1.0 + 1e-9, None)
    longest = np.log(together) / (1.0 - 1.0 / together)
    return renewal(rate, cv, answer_s * (1.0 + spread * (longest - 1.0))).asked
