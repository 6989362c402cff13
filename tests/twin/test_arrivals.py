"""Arrivals have the rates, gaps and phases asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.arrivals import Floats, Phase, _alias_table, busiest, draw_arrivals, mean_scale, turned

UNPREDICTABLE = (Phase(300), Phase(300, scale=1.5, cv=2.0, lognormal=True))
"""Poisson and log-normal gaps in turn."""


def arrivals(rate: float, cv: float, *phases: Phase, lognormal: bool = False, duration_s: float = 36_000) -> Floats:
    """Of one adapter."""
    times, adapter = draw_arrivals(
        np.random.default_rng(0),
        np.array([rate]),
        cv=np.array([cv]),
        lognormal=np.array([lognormal]),
        phases=phases,
        duration_s=duration_s,
    )
    assert np.all(adapter == 0)
    assert np.all(np.diff(times) >= 0)
    assert times[0] >= 0
    assert times[-1] < duration_s
    return times


@pytest.mark.parametrize("cv", [0.3, 1.0, 2.0])
def test_log_normal_gaps(cv: float) -> None:
    times = arrivals(5.0, cv, lognormal=True)
    gaps = np.diff(times)
    assert gaps.mean() == pytest.approx(0.2, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.1)
    # The logarithms are as a normal distribution has them: symmetric, which those of Gamma gaps are not.
    z = (np.log(gaps) - np.log(gaps).mean()) / np.log(gaps).std()
    assert abs((z**3).mean()) < 0.1


@pytest.mark.parametrize("lognormal", [False, True])
def test_rates_are_right_from_the_first_second_on(lognormal: bool) -> None:
    ones = np.ones(20_000)
    times, _ = draw_arrivals(
        np.random.default_rng(0),
        0.1 * ones,
        cv=3 * ones,
        lognormal=np.full(20_000, lognormal),
        phases=(),
        duration_s=10.0,
    )
    assert np.histogram(times, 5, (0, 10))[0] == pytest.approx(np.full(5, 4_000), rel=0.1)


def test_phases_scale_rates_and_switch_gaps() -> None:
    times = arrivals(4.0, 1.0, *UNPREDICTABLE)
    second = times % 600 >= 300
    assert (~second).sum() == pytest.approx(4.0 * 18_000, rel=0.03)
    assert second.sum() == pytest.approx(6.0 * 18_000, rel=0.03)
    for phase, rate, cv in ((0, 4.0, 1.0), (1, 6.0, 2.0)):
        inside = [np.diff(times[(times // 300 == i)]) for i in range(phase, 120, 2)]
        gaps = np.concatenate(inside)
        assert gaps.mean() == pytest.approx(1 / rate, rel=0.05)
        assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.1)


def test_a_scale_alone_keeps_the_gaps_of_rare_requests() -> None:
    # Gaps longer than the phases: were they drawn anew at every switch, requests would come as if by Poisson.
    times = arrivals(0.002, 0.1, Phase(60), Phase(60, scale=3.0), duration_s=1e6)
    gaps = np.diff(times)
    assert gaps.mean() == pytest.approx(250, rel=0.02)
    assert gaps.std() / gaps.mean() < 0.2


def test_nothing_arrives_in_a_pause() -> None:
    times = arrivals(2.0, 1.0, Phase(100, scale=0.0), Phase(50), Phase(50, scale=0.0, cv=3.0))
    assert np.all((times % 200 >= 100) & (times % 200 <= 150))
    assert len(times) == pytest.approx(2.0 * 36_000 / 4, rel=0.05)


@given(
    st.lists(st.tuples(st.floats(1, 1e4), st.floats(0, 10)), min_size=1, max_size=5),
    st.floats(1, 1e5),
)
def test_the_mean_scale_is_the_integral(parts: list[tuple[float, float]], duration_s: float) -> None:
    phases = [Phase(*part) for part in parts]
    moments = (np.arange(20_000) + 0.5) * duration_s / 20_000
    ends = np.cumsum([phase.duration_s for phase in phases])
    which = np.searchsorted(ends, moments % ends[-1], side="right")
    exact = np.array([phase.scale for phase in phases])[np.minimum(which, len(phases) - 1)].mean()
    switches = (duration_s / ends[-1] + 1) * len(phases)
    assert mean_scale(phases, duration_s) == pytest.approx(exact, abs=10 * switches / 20_000 + 1e-9)
    assert mean_scale(phases, 7 * ends[-1]) == pytest.approx(mean_scale(phases))


def test_no_phases_no_scale() -> None:
    assert mean_scale(()) == mean_scale((), 5.0) == 1.0
    assert mean_scale(UNPREDICTABLE) == pytest.approx(1.25)
    assert mean_scale(UNPREDICTABLE, 300) == 1.0


kinds = st.tuples(st.sampled_from([0.0, 1e-9, 1e-3, 2.0]), st.sampled_from([0.01, 0.5, 1.0, 3.0, 100.0]), st.booleans())


@pytest.mark.filterwarnings("error")
@given(adapters=st.lists(kinds, min_size=1, max_size=12), switching=st.booleans(), seed=st.integers(0, 9))
def test_who_is_not_asked_is_not_asked(adapters: list[tuple[float, float, bool]], switching: bool, seed: int) -> None:
    rate, cv, lognormal = (np.array(column) for column in zip(*adapters, strict=True))
    phases = (Phase(5.0), Phase(5.0, scale=0.0), Phase(5.0, 1e-6, cv=2.0, lognormal=True)) if switching else ()
    times, adapter = draw_arrivals(
        np.random.default_rng(seed), rate, cv=cv, lognormal=lognormal, phases=phases, duration_s=20.0
    )
    assert np.all(rate[adapter] > 0)
    assert np.all((times >= 0) & (times < 20.0))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=80).filter(lambda rates: sum(rates) > 1e-6))
def test_requests_are_dealt_out_by_rate(rates: list[float]) -> None:
    share = np.array(rates) / sum(rates)
    keep, alias = _alias_table(share * len(share))
    keep = np.clip(keep, 0.0, 1.0)
    chance = (keep + np.bincount(alias, 1.0 - keep, len(share))) / len(share)
    assert chance == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize("count", [1, 3, 49, 98, 1000])
def test_requests_of_equal_rates_are_dealt_out_evenly(count: int) -> None:
    keep, _ = _alias_table(np.full(count, 1.0 / count) * count)  # 1 but for rounding, which may leave none above
    assert keep == pytest.approx(np.ones(count))


@pytest.mark.parametrize("lognormal", [False, True])
def test_many_bursty_adapters_that_are_asked_seldom_have_their_rates(lognormal: bool) -> None:
    rate = np.repeat([1e-4, 1e-2, 20.0], [20_000, 2_000, 1])
    times, adapter = draw_arrivals(
        np.random.default_rng(0),
        rate,
        cv=np.full(len(rate), 2.0),
        lognormal=np.full(len(rate), lognormal),
        phases=(),
        duration_s=3600.0,
    )
    kinds = np.bincount(np.searchsorted([1e-3, 1.0], rate)[adapter])
    assert kinds == pytest.approx(np.array([7_200, 72_000, 72_000]), rel=0.04)
    assert np.all(np.diff(times) >= 0)
    assert times[-1] < 3600


@given(
    parts=st.lists(st.tuples(st.floats(10, 5000), st.floats(0, 5)), min_size=1, max_size=5),
    window_s=st.floats(5, 3000),
)
def test_no_time_is_busier_than_the_busiest(parts: list[tuple[float, float]], window_s: float) -> None:
    phases = [Phase(duration_s, scale) for duration_s, scale in parts]
    found, amid, start_s = busiest(phases, window_s)
    cycle_s = sum(duration_s for duration_s, _ in parts)
    starts = np.linspace(0, cycle_s, 200)
    until = [mean_scale(phases, end) * end if end else 0.0 for end in (*starts, *(starts + window_s))]
    every = (np.array(until[200:]) - np.array(until[:200])) / window_s
    assert every.max() <= found + 1e-9
    assert found <= max(scale for _, scale in parts) + 1e-9
    assert found >= mean_scale(phases) - 1e-9
    assert amid in phases
    assert 0 <= start_s <= cycle_s
    again = turned(phases, start_s)
    assert sum(phase.duration_s for phase in again) == pytest.approx(cycle_s)
    assert mean_scale(again, window_s) == pytest.approx(found, abs=1e-6)
    assert mean_scale(again) == pytest.approx(mean_scale(phases), abs=1e-6)


def test_of_times_as_busy_the_burstiest_counts() -> None:
    even, bursty = Phase(300), Phase(300, cv=5.0)
    assert busiest([even, bursty], 60).amid == busiest([bursty, even], 60).amid == bursty
    regular = Phase(300, cv=0.1)
    assert busiest([even, regular], 60, own_cv=3.0).amid == even


@pytest.mark.parametrize(("scale", "counts"), [(1.0, True), (0.99, True), (0.91, True), (0.85, False)])
@pytest.mark.parametrize("evenest", [False, True])
def test_of_times_nearly_as_busy_the_hardest_gaps_count(scale: float, counts: bool, evenest: bool) -> None:
    usual, other = Phase(300, cv=2.0), Phase(300, scale, cv=1.0 if evenest else 5.0)
    for phases in ([usual, other, Phase(300, 0.5, cv=0.1)], [other, usual]):
        found = busiest(phases, 60, evenest=evenest)
        assert (found.scale, found.amid) == (pytest.approx(1.0), other if counts else usual)
        assert mean_scale(turned(phases, found.start_s), 60) == pytest.approx(1.0)


def test_the_busiest_hour_around_the_busiest_minute() -> None:
    phases = [Phase(3600, 1.2), Phase(7200, 0.3), Phase(300, 2.5), Phase(3600, 0.5), Phase(300, 2.5), Phase(900, 0.8)]
    assert busiest(phases, 3600).scale > 1.2
    found = busiest(phases, 3600, around_s=60)
    after = turned(phases, found.start_s)
    minutes = [mean_scale(after, end + 60) * (end + 60) - mean_scale(after, max(end, 1)) * end for end in range(3540)]
    assert max(minutes) == pytest.approx(2.5 * 60)
    assert mean_scale(after, 3600) == pytest.approx(found.scale)
    assert found.scale == pytest.approx((300 * 2.5 + 900 * 0.8 + 2400 * 1.2) / 3600), "of both the busier one"
