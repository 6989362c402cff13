"""One meaning of starved and steady for everything that serves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.twin.conftest import make_server, make_workload
from twin import service_level
from twin.engine.simulation import Measures, simulate
from twin.profile import Profile


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_who_serves_all_that_arrived_does_not_starve(arrived: int, waiting: int) -> None:
    assert not service_level.starved(arrived, arrived, waiting)


@pytest.mark.parametrize(("completed", "waiting", "starved"), [(89, 1, True), (90, 1, False), (89, 0, False)])
def test_starved_is_less_than_nine_tenths_while_others_wait(completed: int, waiting: int, starved: bool) -> None:
    assert service_level.starved(completed, 100, waiting) is starved


def test_the_papers_rule_compares_tokens_whatever_arrived() -> None:
    assert service_level.published_starvation(89.9, 100.0)
    assert not service_level.published_starvation(90.0, 100.0)
    assert service_level.published_starvation(float("nan"), 100.0)


def test_steady_keeps_the_limit_and_an_hour_without_requests_is() -> None:
    assert service_level.steady(starved=False, ttft_ms=2000.0)
    assert not service_level.steady(starved=False, ttft_ms=2000.1)
    assert not service_level.steady(starved=True, ttft_ms=1.0)
    assert service_level.steady(starved=False, ttft_ms=float("nan"))


@settings(max_examples=60, deadline=None)
@given(
    rates=st.lists(st.floats(1e-5, 0.3), min_size=1, max_size=20),
    cv=st.sampled_from([0.5, 1.0, 5.0]),
    duration_s=st.sampled_from([60.0, 600.0, 3600.0]),
    seed=st.integers(0, 1000),
)
def test_a_run_that_completed_all_that_arrived_is_not_starved(
    profile: Profile, rates: list[float], cv: float, duration_s: float, seed: int
) -> None:
    """Light and bursty traffic brings much less or more than its mean: the papers' rule calls half of these starved."""
    measures = simulate(profile, make_server(4), make_workload(rates, cv=cv), duration_s=duration_s, seed=seed)
    if measures.completed == measures.arrivals:
        assert not measures.starved
    if not measures.waiting_end:
        assert not measures.starved


def test_two_adapters_that_are_hardly_asked_are_served(profile: Profile) -> None:
    found: list[Measures] = [
        simulate(profile, make_server(2), make_workload([0.0005, 0.0005]), seed=seed) for seed in range(5)
    ]
    assert not any(measures.starved for measures in found)
    assert np.any([measures.published_starvation for measures in found])
