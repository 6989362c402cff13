"""How requests that are in service vary, beside arrivals that are drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import gamma

from advisor.features.presence import mean_in_flight, peakedness
from twin.arrivals import draw_arrivals
from twin.workload import Workload


def adapters(rate: float, cv: float, count: int = 3) -> Workload:
    ones = np.ones(count)
    return Workload(8 * ones, rate * ones, 100 * ones, 0 * ones, 50 * ones, 0 * ones, cv * ones)


def test_independent_requests_vary_as_their_number() -> None:
    assert peakedness(adapters(0.5, 1.0), np.geomspace(0.01, 100, 9)) == pytest.approx(1.0)


@pytest.mark.parametrize("cv", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("service_s", [0.3, 3.0])
def test_requests_in_service_vary_as_those_of_gamma_gaps_do(cv: float, service_s: float) -> None:
    random = np.random.default_rng(1)
    starts = np.cumsum(gamma.rvs(cv**-2, scale=cv**2, size=400_000, random_state=random))
    ends = np.sort(starts + random.exponential(service_s, len(starts)))
    looks = random.uniform(starts[1000], starts[-1000], 100_000)
    busy = np.searchsorted(starts, looks) - np.searchsorted(ends, looks)
    found = float(peakedness(adapters(1.0, cv), np.array([service_s]))[0])
    assert found == pytest.approx(busy.var() / busy.mean(), rel=0.1)


def test_bursts_hardly_begin_at_first_and_are_whole_in_the_end() -> None:
    first, last = peakedness(adapters(0.01, 3.0), np.array([1e-9, 1e6]))
    assert first == pytest.approx(1.0, abs=0.2)
    assert last == pytest.approx((3.0**2 + 1) / 2, rel=0.02)


@pytest.mark.parametrize("lognormal", [False, True])
@pytest.mark.parametrize("cv", [0.3, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("step_s", [0.03, 0.1])
def test_adapters_in_flight_are_those_whose_answers_are_not_complete(cv: float, step_s: float, lognormal: bool) -> None:
    spread = np.sqrt(np.log(2.0))  # of answers that vary by as much as they are long
    mix = replace(adapters(0.03, cv, 600), output_mean=np.full(600, 200.0), output_std=np.full(600, 200.0))
    mix = replace(mix, lognormal_gaps=np.ones(600, dtype=np.bool_) if lognormal else None)
    random, kind = np.random.default_rng(1), np.full(600, lognormal)
    arrival, who = draw_arrivals(random, mix.rate, cv=mix.cv, lognormal=kind, phases=(), duration_s=20_000)
    ends = arrival + 1.0 + step_s * (200 * random.lognormal(-(spread**2) / 2, spread, len(arrival)) - 1)
    looks = np.linspace(2_000, 20_000, 50, endpoint=False)
    found = [len(np.unique(who[(arrival <= look) & (ends > look)])) for look in looks]
    assert mean_in_flight(mix, 1.0, step_s) == pytest.approx(np.mean(found), rel=0.15)
