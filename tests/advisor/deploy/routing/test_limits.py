"""The limits that gateways enforce let through what the inventory announces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from advisor.deploy.write.limits import HOUR_S, rate_limit, requests_in_flight, total_limit
from twin.workload import Workload


def mix(rate: list[float], cv: float = 1.0, output: float = 100.0) -> Workload:
    one = np.ones(len(rate))
    return Workload(8 * one, np.array(rate), 50 * one, one, output * one, one, cv * one)


def refused(arrivals: NDArray[np.float64], per_minute: float, burst: int) -> float:
    """The share of requests that a token bucket refuses."""
    tokens, last, lost = float(burst), 0.0, 0
    for time in arrivals:
        tokens = min(float(burst), tokens + (time - last) * per_minute / 60)
        last = time
        if tokens < 1:
            lost += 1
        else:
            tokens -= 1
    return lost / len(arrivals)


@pytest.mark.parametrize(("rate", "cv"), [(0.05, 1.0), (0.5, 1.0), (10.0, 1.0), (0.1, 2.0), (10.0, 3.0)])
def test_an_announced_rate_passes(rate: float, cv: float) -> None:
    generator = np.random.default_rng(1)
    gaps = generator.gamma(1 / cv**2, cv**2 / rate, 100_000)
    limit = rate_limit(rate, cv)
    assert refused(np.cumsum(gaps), limit.per_minute, limit.burst) < 0.015
    counts = np.bincount((np.cumsum(gaps) // 60).astype(int))
    assert (counts > limit.any_minute).mean() < 0.03


def test_twice_the_announced_rate_does_not() -> None:
    limit = rate_limit(0.5, 1.0)
    gaps = np.random.default_rng(1).exponential(1.0, 20_000)
    assert refused(np.cumsum(gaps), limit.per_minute, limit.burst) == pytest.approx(0.5, abs=0.05)


@given(st.floats(0, 1000), st.floats(0.01, 100))
def test_of_any_rate(rate: float, cv: float) -> None:
    limit = rate_limit(rate, cv)
    assert limit.per_minute >= max(1, 60 * rate - 1e-6)
    assert limit.per_minute < 60 * rate + 1 + 1e-6
    assert 1 <= limit.burst <= max(50.0, 50 * cv**2) + 1
    assert limit.burst <= limit.per_minute / 60 * HOUR_S + 3 * max(1, cv) * (limit.per_minute * 60) ** 0.5 + 1
    assert limit.any_minute >= max(1, 60 * rate)


def test_of_all_together() -> None:
    assert total_limit(mix([0.5, 0.5, 0.0])) == rate_limit(1.0, 1.0)
    assert total_limit(mix([0.5, 0.5], cv=2.0)) == rate_limit(1.0, 2.0)
    assert total_limit(mix([0.0])) == rate_limit(0.0, 1.0)


def test_requests_in_flight() -> None:
    """Ten a second, each for 0.1 s and 100 tokens of 39 ms: 40 in the mean, and 40 + 3 x sqrt(40) at most."""
    assert requests_in_flight(mix([5.0, 5.0]), 0.1, 0.039) == 59
    assert requests_in_flight(mix([0.0]), 0.1, 0.039) == 1
    assert requests_in_flight(mix([5.0, 5.0], cv=2.0), 0.1, 0.039) == 78
