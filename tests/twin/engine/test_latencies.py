"""Percentiles of counted times, and what the front end's stalls make of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.twin.conftest import make_server, make_workload
from twin.engine import latencies
from twin.engine.latencies import between_tokens, held_up_s, new_latencies, percentiles_ms, stalled_share
from twin.engine.latency import StepCost
from twin.engine.simulation import Measures, simulate
from twin.profile import Profile

COST = StepCost(10.0, 0.1, 0.1, 0.1, 0.0, merged_per_adapter=0.01, stall_every_s=2.0)


def counted(times_s: NDArray[np.float64], count: int = 1) -> latencies.Histogram:
    """The times, each so many times."""
    histogram = new_latencies().itl
    for each in times_s:
        latencies.add(histogram, float(each), count)
    return histogram


@given(st.lists(st.floats(1e-5, 1e6), min_size=1, max_size=60), st.integers(1, 3), st.floats(0, 100))
def test_percentiles_are_those_of_numpy(times_s: list[float], count: int, percent: float) -> None:
    exact = 1e3 * np.percentile(np.repeat(times_s, count), percent)
    assert percentiles_ms(counted(np.array(times_s), count), [percent]) == pytest.approx([exact], rel=0.002)


def test_no_time_is_too_short_or_too_long_to_be_counted() -> None:
    histogram = counted(np.array([0.0, 1e-12, 1e12]))
    assert histogram.sum() == 3
    shortest, longest = percentiles_ms(histogram, (0, 100))
    assert shortest < 0.01
    assert longest > 1e9


def test_nothing_counted_is_nothing_told() -> None:
    assert all(map(math.isnan, percentiles_ms(new_latencies().ttft, (50, 99))))


def test_without_stalls_the_client_sees_the_gaps_of_the_engine() -> None:
    itl = counted(np.array([0.02, 0.03]), 50)
    for stalled, every_s in ((0.0, 2.0), (0.2, 0.0)):
        assert between_tokens(itl, stalled, stalled, every_s).tolist() == itl.tolist()


def played(step_s: float, share: float, every_s: float, *, merged: bool) -> NDArray[np.float64]:
    """Gaps of one endless answer whose client is held up by stalls, event by event."""
    rng = np.random.default_rng(0)
    starts = np.cumsum(
        rng.exponential(every_s * (1 - share), 20_000) + (lengths := rng.exponential(share * every_s, 20_000))
    )
    starts -= lengths
    tokens = np.arange(0.0, float(starts[-1]), step_s)
    stall = np.searchsorted(starts, tokens, "right") - 1
    ends = np.where(stall >= 0, (starts + lengths)[stall], 0.0)
    seen = np.maximum(tokens, ends)
    return np.diff(np.unique(seen) if merged else seen)


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize(("step_s", "share"), [(0.03, 0.15), (0.05, 0.3), (0.02, 0.02)])
def test_gaps_are_as_if_every_stall_were_played(step_s: float, share: float, merged: bool) -> None:
    exact = played(step_s, share, 2.0, merged=merged)
    seen = between_tokens(counted(np.array([step_s]), 100_000), share, share if merged else 0.0, 2.0)
    assert seen.sum() == pytest.approx(100_000 * (1 - share if merged else 1), rel=0.01)
    for percent in (50, 95, 99, 99.9):
        played_ms = 1e3 * float(np.percentile(exact, percent))
        (found_ms,) = percentiles_ms(seen, [percent])
        assert found_ms == pytest.approx(played_ms, rel=0.15)


def test_requests_are_held_up_as_often_and_as_long_as_by_chance() -> None:
    share = stalled_share(COST, 20.0)
    assert share == pytest.approx(0.2 / 1.2)
    held = np.array([[held_up_s(COST, share, request, which) for which in range(3)] for request in range(20_000)])
    assert (held > 0).mean(axis=0) == pytest.approx(np.full(3, share), rel=0.01)
    assert held.mean(axis=0) == pytest.approx(np.full(3, share**2 * COST.stall_every_s), rel=0.02)
    assert np.percentile(held[held > 0], 90) == pytest.approx(share * COST.stall_every_s * math.log(10), rel=0.02)
    assert np.corrcoef(held.T > 0)[np.triu_indices(3, 1)] == pytest.approx(np.zeros(3), abs=0.03)


def test_stalls_lengthen_what_the_client_sees_and_nothing_else(profile: Profile) -> None:
    def hour(every_s: float) -> Measures:
        front_end = profile.front_end.model_copy(update={"stall_every_s": every_s})
        served = profile.model_copy(update={"front_end": front_end})
        return simulate(served, make_server(64), make_workload([0.05] * 64))

    without, stalled = hour(0.0), hour(2.0)
    for same in ("throughput_tok_s", "itl_ms", "token_ms", "steps", "completed", "running_mean"):
        assert getattr(stalled, same) == getattr(without, same)
    for longer in ("ttft_ms", "ttft_p99_ms", "itl_p99_ms", "e2el_ms"):
        assert getattr(stalled, longer) > getattr(without, longer)
    assert stalled.itl_p50_ms == pytest.approx(without.itl_p50_ms, rel=0.05)
    assert stalled.e2el_ms >= stalled.ttft_ms
