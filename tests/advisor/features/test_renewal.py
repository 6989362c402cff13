"""When an adapter was asked last: beside exact functions and beside gaps that are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaincc
from scipy.stats import gamma

from advisor.features.renewal import answering, gamma_cv, renewal

SPANS = np.geomspace(1e-3, 1e3, 40)


@given(rate=st.floats(1e-4, 1e3), cv=st.floats(0.3, 10.0))
def test_gaps_are_gamma(rate: float, cv: float) -> None:
    found = renewal(np.array([rate]), np.array([cv]), SPANS)
    shape = cv**-2
    assert found.longer[0] == pytest.approx(gammaincc(shape, shape * rate * SPANS), abs=1e-7)
    assert np.all((found.asked >= 0) & (found.asked <= 1))
    assert np.all(np.diff(found.asked[0]) >= -1e-9)


def test_poisson_arrivals_are_those_of_variation_1() -> None:
    rates = np.array([0.01, 1.0, 30.0])
    exact = renewal(rates, np.ones(3), SPANS)
    series = renewal(rates, np.array([1.0, 1.0, 1.0 + 1e-9]), SPANS)
    assert series.longer == pytest.approx(exact.longer, abs=1e-6)
    assert series.asked == pytest.approx(exact.asked, abs=1e-6)


@pytest.mark.parametrize("cv", [0.5, 2.0, 5.0])
def test_who_was_asked_within_a_span_is_who_the_last_request_of_an_endless_stream_says(cv: float) -> None:
    gaps = gamma.rvs(cv**-2, scale=cv**2, size=400_000, random_state=1)
    ends = np.cumsum(gaps)
    looks = np.random.default_rng(2).uniform(ends[0], ends[-1], 200_000)
    ages = looks - ends[np.searchsorted(ends, looks, side="right") - 1]
    spans = np.array([0.02, 0.2, 1.0, 5.0])
    found = renewal(np.ones(1), np.array([cv]), spans)
    assert found.asked[0] == pytest.approx([(ages < span).mean() for span in spans], abs=0.015)
    assert found.longer[0] == pytest.approx([(gaps > span).mean() for span in spans], abs=0.005)


@pytest.mark.parametrize("cv", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("answer_s", [0.05, 0.5])
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_a_burst_lasts_as_long_as_the_longest_of_its_answers(cv: float, answer_s: float, spread: float) -> None:
    random = np.random.default_rng(3)
    starts = np.cumsum(gamma.rvs(cv**-2, scale=cv**2, size=200_000, random_state=random))
    sigma2 = np.log1p(spread**2)
    ends = starts + answer_s * random.lognormal(-sigma2 / 2, np.sqrt(sigma2), len(starts))
    latest = np.maximum.accumulate(ends)
    looks = random.uniform(starts[1000], starts[-1], 100_000)
    busy = np.mean(latest[np.searchsorted(starts, looks, side="right") - 1] > looks)
    rate, variation, times = np.ones(1), np.array([cv]), np.array([answer_s])
    found = answering(renewal(rate, variation, times), rate, variation, times, spread)
    assert found[0, 0] == pytest.approx(busy, rel=0.15)


@pytest.mark.parametrize("cv", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("span", [0.02, 0.2, 1.0, 5.0])
def test_as_many_are_asked_within_a_span_as_with_log_normal_gaps(cv: float, span: float) -> None:
    sigma2 = np.log1p(cv**2)
    ends = np.cumsum(np.random.default_rng(5).lognormal(-sigma2 / 2, np.sqrt(sigma2), 400_000))
    looks = np.random.default_rng(6).uniform(ends[0], ends[-1], 200_000)
    ages = looks - ends[np.searchsorted(ends, looks, side="right") - 1]
    one, variation, spans = np.ones(2), np.full(2, cv), np.full(2, span)
    found = renewal(one, gamma_cv(one, variation, spans), spans[:, np.newaxis]).asked[:, 0]
    assert found == pytest.approx((ages < span).mean(), abs=0.02)
