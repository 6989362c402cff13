"""The admission limit as gateways enforce it: requests in flight, and rates in all and per adapter.

What is limited is what the answer speaks of, the admitted adapters at the rates of the inventory. Requests come
unevenly all the same, and a limit must not refuse what the inventory announces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from twin.workload import Workload

REFUSED = 0.01
"""Of the announced requests, the share that a rate limit may refuse: a service level of 99 %."""
DEVIATIONS = 3.0
"""Standard deviations above the mean that still count as announced: a normal count is above in one of 740 cases."""
HOUR_S = 3600.0
"""The time that answers are about: a bucket never holds more than the most that one brings."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket, and the same for those who count minutes."""

    per_minute: int
    """Requests per minute that may go on for ever: a whole number, at least 1, since nginx knows no other."""
    burst: int
    """Requests at once, after a pause."""
    any_minute: int
    """The most requests of one minute, for limits that start anew every minute."""


def rate_limit(rate: float, cv: float) -> RateLimit:
    """The limit for requests of this mean rate (requests/s) whose gaps have this coefficient of variation.

    A bucket that fills as fast as requests come refuses cv²/2b of them, b its size (heavy traffic's diffusion).
    """
    per_minute = max(1, math.ceil(60 * rate - 1e-9))
    spread = max(1.0, cv)
    enough = spread**2 / (2 * REFUSED)
    hour = _most(per_minute / 60 * HOUR_S, spread)
    return RateLimit(per_minute, math.ceil(min(enough, hour)), math.ceil(_most(60 * rate, spread)) if rate else 1)


def total_limit(mix: Workload) -> RateLimit:
    """The limit for all requests together; their variation is the mean of the adapters', by rate."""
    rate = float(mix.rate.sum())
    return rate_limit(rate, math.sqrt(_squared_variation(mix)))


def requests_in_flight(mix: Workload, ttft_s: float, itl_s: float) -> int:
    """The most requests that are waited for or answered at once while all is as expected (Little's law)."""
    mean = float((mix.rate * (ttft_s + mix.output_mean * itl_s)).sum())
    return max(1, math.ceil(_most(mean, math.sqrt(_squared_variation(mix)))))


def _most(mean: float, cv: float) -> float:
    """How many events a stretch brings at most, that brings so many in the mean."""
    return mean + DEVIATIONS * cv * math.sqrt(mean)


def _squared_variation(mix: Workload) -> float:
    rate = float(mix.rate.sum())
    return float((mix.rate * np.maximum(1.0, mix.cv) ** 2).sum()) / rate if rate else 1.0
