"""Drawn requests have the rates, gaps and lengths asked for, and the mean is not inflated."""

from __future__ import annotations

import numpy as np
import pytest

from tests.twin.conftest import make_workload
from twin.workload import Requests, draw

HOUR = 3600.0


def drawn(rates: list[float], seed: int = 0, **options: float) -> Requests:
    return draw(make_workload(rates, **options), HOUR, seed, max_model_len=131_072)


def test_same_seed_same_requests() -> None:
    first, second, other = drawn([0.5, 0.1]), drawn([0.5, 0.1]), drawn([0.5, 0.1], seed=1)
    for name in Requests.__slots__:
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.arrival, other.arrival)


def test_each_adapter_gets_its_rate_in_order_of_time() -> None:
    rates = [4.0, 1.0, 0.25, 0.0625]
    requests = drawn(rates)
    counts = np.bincount(requests.adapter, minlength=4)
    expected = np.array(rates) * HOUR
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))
    assert np.all(np.diff(requests.arrival) >= 0)
    assert requests.arrival[0] >= 0
    assert requests.arrival[-1] < HOUR


@pytest.mark.parametrize(("prompt", "answer"), [(223, 196), (3, 2), (2000, 30)])
def test_lengths_keep_the_mean_and_the_spread(prompt: float, answer: float) -> None:
    requests = drawn([20.0], prompt=prompt, answer=answer)
    # Lengths of at least one token cannot keep a mean of two exactly; longer ones must.
    tolerance = 0.02 if prompt > 10 else 0.1
    assert requests.input.mean() == pytest.approx(prompt, rel=tolerance)
    assert requests.output.mean() == pytest.approx(answer, rel=tolerance if answer > 10 else 0.1)
    if prompt > 10:
        assert requests.input.std() == pytest.approx(0.85 * prompt, rel=0.06)
    assert requests.input.min() >= 1
    assert requests.output.min() >= 1
    assert np.corrcoef(np.log(requests.input), np.log(requests.output))[0, 1] < -0.2


def test_lengths_are_cut_to_the_longest_sequence() -> None:
    requests = draw(make_workload([5.0], prompt=500, answer=500), HOUR, 0, max_model_len=600)
    assert (requests.input + requests.output).max() == 600
    assert requests.output.min() >= 1


@pytest.mark.parametrize("cv", [1.0, 0.5, 3.0])
def test_gaps_have_the_coefficient_of_variation(cv: float) -> None:
    requests = drawn([5.0], cv=cv)
    gaps = np.diff(requests.arrival)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.1)
    assert len(requests) == pytest.approx(5 * HOUR, rel=0.05 * max(cv, 1))


def test_poisson_and_bursty_adapters_mix() -> None:
    workload = make_workload([2.0, 2.0])
    workload.cv[1] = 4.0
    requests = draw(workload, HOUR, 0, 131_072)
    assert np.all(np.diff(requests.arrival) >= 0)
    for adapter, cv in ((0, 1.0), (1, 4.0)):
        gaps = np.diff(requests.arrival[requests.adapter == adapter])
        assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.15)
