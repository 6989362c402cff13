"""What chance costs: measured against traffic that the twin draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaincc, gammaln, ndtr

from advisor.features.queueing import (
    HOUR_S,
    MANY,
    dispersion,
    normal,
    queue_time,
    share_waiting,
    utilisation,
    wait_time,
)
from twin.workload import Workload, draw

positive = st.floats(1e-3, 1e3)


def mix_of(cv: float) -> Workload:
    """Eight adapters of different rates and lengths."""
    rate, prompt, answer = np.geomspace(0.2, 2, 8), np.geomspace(400, 100, 8), np.linspace(50, 300, 8)
    return Workload(np.full(8, 8.0), rate, prompt, 0.9 * prompt, answer, 0.5 * answer, np.full(8, cv))


@pytest.mark.parametrize("cv", [1.0, 2.0, 4.0])
def test_dispersion_is_that_of_the_traffic(cv: float) -> None:
    mix = mix_of(cv)
    requests = draw(Workload(*(getattr(mix, name) for name in mix.__slots__)), 200_000.0, 1)
    windows = np.add.reduceat(
        (requests.input + requests.output).astype(np.float64),
        np.searchsorted(requests.arrival, np.arange(0, 200_000, 200)),
    )
    assert windows.var() / windows.mean() == pytest.approx(dispersion(mix), rel=0.2)


@given(dispersion_s=positive, window_s=positive)
def test_the_work_of_a_window_and_its_deviation_fill_it(dispersion_s: float, window_s: float) -> None:
    load = utilisation(dispersion_s, window_s)
    assert 0 < load < 1
    assert load * window_s + np.sqrt(load * dispersion_s * window_s) == pytest.approx(window_s)


@given(dispersion_s=positive)
def test_what_piles_up_goes_on_smoothly_where_load_passes_the_capacity(dispersion_s: float) -> None:
    below, at, above = (queue_time(dispersion_s, load) for load in (1 - 1e-9, 1.0, 1 + 1e-9))
    assert below == pytest.approx(at, rel=1e-4)
    assert above == pytest.approx(at, rel=1e-4)


loads = st.floats(1e-3, 5)


@given(dispersion_s=positive, more_s=positive, load=loads, more=loads)
def test_more_piles_up_under_more_load_and_where_it_comes_less_evenly(
    dispersion_s: float, more_s: float, load: float, more: float
) -> None:
    here = queue_time(dispersion_s, load)
    assert here > 0
    assert queue_time(dispersion_s + more_s, load) > here
    assert queue_time(dispersion_s, load + more) > here


@pytest.mark.parametrize(("request_s", "hours"), [(0.02, 8), (0.5, 40), (5.0, 80)])
@pytest.mark.parametrize("load", [0.3, 0.7, 0.9, 0.98, 1.0, 1.03, 1.3])
def test_as_much_piles_up_as_in_hours_of_requests_at_random(load: float, request_s: float, hours: int) -> None:
    """At a server that works off one after the other, all as long, and begins each hour with none."""
    generator = np.random.default_rng(0)
    mean = np.mean([piled_up(load, request_s, generator) for _ in range(hours)])
    assert 1 / 1.4 < queue_time(request_s / load, load) / mean < 1.4


@given(st.floats(0, 8))
def test_the_normal_distribution_is_as_exact_as_its_source_has_it(x: float) -> None:
    assert normal(x) == pytest.approx(ndtr(x), abs=7.5e-8)


@given(servers=st.floats(0.1, MANY), load=st.floats(0.01, 0.99))
def test_as_many_wait_for_a_server_as_by_erlang(servers: float, load: float) -> None:
    assert share_waiting(servers, load * servers) == pytest.approx(by_erlang(servers, load), rel=0.12, abs=0.01)


@given(servers=st.integers(1, int(MANY)), load=st.floats(0.01, 0.99))
def test_of_whole_servers_the_formula_is_exact(servers: int, load: float) -> None:
    assert share_waiting(servers, load * servers) == pytest.approx(by_erlang(servers, load), rel=1e-6, abs=1e-9)


@given(servers=st.floats(MANY, 400, exclude_min=True), load=st.floats(0.01, 0.99))
def test_of_many_servers_the_limit_is_off_by_two_in_a_hundred_at_most(servers: float, load: float) -> None:
    """Just beyond `MANY` by 1.8 of them: 65 servers, of which 81 % are busy, are said to make 5.8 % wait, not 7.0."""
    assert share_waiting(servers, load * servers) == pytest.approx(by_erlang(servers, load), abs=0.02)


def by_erlang(servers: float, load: float) -> float:
    """His C formula; of servers that are not whole his B formula is busy^servers e^-busy / Gamma(servers + 1, busy)."""
    busy = load * servers
    blocked = np.exp(servers * np.log(busy) - busy - gammaln(servers + 1)) / gammaincc(servers + 1, busy)
    return float(blocked / (1 - load * (1 - blocked)))


@pytest.mark.parametrize("servers", [1, 4, 16, 100, 1000])
@pytest.mark.parametrize("load", [0.1, 0.8, 0.95])
def test_who_waits_waits_as_long_as_by_erlang(servers: int, load: float) -> None:
    """One that is busy a tenth of the time is found so by a tenth, where deviations say by next to nobody. The queue of
    an hour is somewhat shorter than that in the end."""
    busy, service_s = load * servers, 0.2
    exact = share_waiting(servers, busy) * service_s / (servers - busy)
    assert wait_time(servers, busy, busy, service_s / servers) == pytest.approx(exact, rel=0.2)


@given(servers=st.integers(1, 1000), load=loads, more=loads, variance=positive, service_s=positive)
def test_the_wait_for_a_server_grows_with_those_busy_and_with_bursts(
    servers: int, load: float, more: float, variance: float, service_s: float
) -> None:
    busy, between_s = load * servers, service_s / servers
    here = wait_time(servers, busy, variance, between_s)
    assert 0 <= here < np.inf
    assert wait_time(servers, busy, 4 * variance, between_s) >= here - 1e-9
    more_busy = (load + more) * servers
    assert wait_time(servers, more_busy, variance * (1 + more / load), between_s) >= here


def piled_up(load: float, request_s: float, generator: np.random.Generator) -> float:
    """Mean work of an hour: a random walk that is reflected at 0, by what it comes to after each request."""
    arrival = np.sort(generator.uniform(0, HOUR_S, generator.poisson(load * HOUR_S / request_s)))
    walk = request_s * np.arange(1, len(arrival) + 1) - arrival
    work = walk - np.minimum.accumulate(np.minimum(walk - request_s, 0))
    left = np.maximum(work - np.diff(arrival, append=HOUR_S), 0)
    return float((work**2 - left**2).sum() / 2 / HOUR_S)
