"""Drawn requests have the rates, gaps and lengths asked for, and the mean is not inflated."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from tests.twin.conftest import make_workload
from twin import arrivals
from twin.arrivals import Phase
from twin.lengths import Quantiles, Table
from twin.workload import BASE, Requests, draw

HOUR = 3600.0


def drawn(rates: list[float], seed: int = 0, **options: float) -> Requests:
    return draw(make_workload(rates, **options), HOUR, seed)


def test_same_seed_same_requests() -> None:
    first, second, other = drawn([0.5, 0.1]), drawn([0.5, 0.1]), drawn([0.5, 0.1], seed=1)
    for name in Requests.__slots__:
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.arrival, other.arrival)


def test_in_how_many_portions_requests_are_drawn_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    law = Quantiles.of({0.5: 120.0, 0.95: 800.0})
    workload = replace(
        make_workload([0.5, 0.1, 0.2]),
        input_mean=np.array([100.0, 900.0, 20.0]),
        input_quantiles=(None, law, None),
        correlation=-0.4,
    )
    whole = draw(workload, HOUR, 3)
    monkeypatch.setattr(arrivals, "PORTION", 64)
    portioned = draw(workload, HOUR, 3)
    assert len(whole) > 20 * arrivals.PORTION
    for name in Requests.__slots__:
        assert np.array_equal(getattr(whole, name), getattr(portioned, name))


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
    assert requests.input.mean() == pytest.approx(prompt, rel=0.02)
    assert requests.output.mean() == pytest.approx(answer, rel=0.02)
    if prompt > 10:
        assert requests.input.std() == pytest.approx(0.85 * prompt, rel=0.06)
    assert requests.input.min() >= 1
    assert requests.output.min() >= 1
    assert np.corrcoef(np.log(requests.input), np.log(requests.output))[0, 1] < -0.2


def test_what_fits_into_the_longest_sequence() -> None:
    requests = drawn([5.0], prompt=500, answer=500)
    total = requests.input + requests.output
    fitting = requests.within(600)
    assert 0 < len(fitting) < len(requests)
    for name in Requests.__slots__:
        assert np.array_equal(getattr(fitting, name), getattr(requests, name)[total <= 600])
    assert len(requests.within(int(total.max()))) == len(requests)


@pytest.mark.parametrize("cv", [1.0, 0.5, 3.0])
def test_gaps_have_the_coefficient_of_variation(cv: float) -> None:
    requests = drawn([5.0], cv=cv)
    gaps = np.diff(requests.arrival)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.1)
    assert len(requests) == pytest.approx(5 * HOUR, rel=0.05 * max(cv, 1))


def test_poisson_and_bursty_adapters_mix() -> None:
    workload = make_workload([2.0, 2.0])
    workload.cv[1] = 4.0
    requests = draw(workload, HOUR, 0)
    assert np.all(np.diff(requests.arrival) >= 0)
    for adapter, cv in ((0, 1.0), (1, 4.0)):
        gaps = np.diff(requests.arrival[requests.adapter == adapter])
        assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.15)


@pytest.mark.parametrize(("cv", "digest"), [(1.0, "638408b92bd185fe"), (None, "17cff321d1cf79c0")])
def test_draws_that_models_were_trained_on_do_not_change(cv: float | None, digest: str) -> None:
    ones = np.ones(40)
    workload = replace(make_workload([1.0] * 40), rate=np.geomspace(0.01, 2, 40), cv=ones.copy())
    if cv is None:
        workload.cv[::3], workload.cv[1::5] = 2.5, 0.4
    requests = draw(workload, HOUR, 1)
    microseconds = (1e6 * requests.arrival).round().astype(np.int64)
    columns = (microseconds, requests.adapter, requests.input, requests.output)
    assert hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()[:16] == digest


def test_laws_of_single_adapters() -> None:
    law = Quantiles.of({0.1: 20.0, 0.5: 100.0, 0.9: 300.0, 0.99: 2000.0})
    table = Table(np.array([10, 20, 30], dtype=np.int32), np.array([1, 2, 3], dtype=np.int32))
    workload = replace(
        make_workload([4.0, 4.0, 4.0]),
        input_quantiles=(None, law, law),
        output_quantiles=(None, law, None),
        tables=(None, None, table),
        correlation=0.8,
    )
    requests = draw(workload, HOUR, 0)
    plain, drawn, listed = (
        (requests.input[which], requests.output[which]) for which in requests.adapter == [[0], [1], [2]]
    )
    assert plain[0].mean() == pytest.approx(223, rel=0.05)
    for tokens in drawn:
        assert np.quantile(tokens, [0.1, 0.5, 0.9]) == pytest.approx([20, 100, 300], rel=0.06)
        assert tokens.mean() == pytest.approx(law.mean, rel=0.05)
    # The correlation of normal scores hardly differs from that of ranks.
    assert np.corrcoef(*(tokens.argsort().argsort() for tokens in drawn))[0, 1] == pytest.approx(0.8, abs=0.03)
    assert np.array_equal(listed[0], 10 * listed[1])
    assert np.bincount(listed[1])[1:] == pytest.approx(np.full(3, len(listed[1]) / 3), rel=0.05)


def test_offered_tokens_are_those_drawn() -> None:
    law = Quantiles.of({0.5: 100.0, 0.95: 600.0})
    workload = replace(
        make_workload([4.0, 4.0]),
        input_quantiles=(law, None),
        input_mean=np.array([law.mean, 223]),
        lognormal_gaps=np.array([True, False]),
        phases=(Phase(300), Phase(300, scale=1.5)),
    )
    requests = draw(workload, 6 * HOUR, 0)
    drawn = float(requests.input.sum() + requests.output.sum()) / (6 * HOUR)
    assert drawn == pytest.approx(workload.offered_tok_s, rel=0.02)
    assert workload.offered_within(300) == pytest.approx(workload.offered_tok_s / 1.25)


def test_part_of_a_workload() -> None:
    law = Quantiles.of({0.5: 100.0, 0.95: 600.0})
    workload = replace(
        make_workload([1.0, 2.0, 3.0]), tables=(), input_quantiles=(law, None, None), lognormal_gaps=np.arange(3) == 2
    )
    part = workload.take(np.array([2, 0]))
    assert part.rate.tolist() == [3.0, 1.0]
    assert part.input_quantiles == (None, law)
    assert part.tables == ()
    assert part.lognormal_gaps is not None
    assert part.lognormal_gaps.tolist() == [True, False]
    assert part.correlation == workload.correlation


def test_requests_that_name_no_adapter_have_their_own_rate_and_lengths_and_switch_with_the_phases() -> None:
    law = Quantiles.of({0.5: 100.0, 0.95: 600.0})
    base = replace(make_workload([2.0], prompt=900, cv=3.0), output_mean=np.array([law.mean]), output_quantiles=(law,))
    workload = replace(make_workload([4.0, 0.1]), base=base, phases=(Phase(300), Phase(300, scale=3)))
    requests = draw(workload, 10 * HOUR, 0)
    which = requests.adapter == BASE
    assert which.sum() == pytest.approx(2 * 2.0 * 10 * HOUR, rel=0.05)
    assert requests.input[which].mean() == pytest.approx(900, rel=0.05)
    assert requests.input[~which].mean() == pytest.approx(223, rel=0.05)
    assert np.median(requests.output[which]) == pytest.approx(100, rel=0.05)
    assert set(np.unique(requests.adapter)) == {BASE, 0, 1}
    tokens = float(requests.input.sum() + requests.output.sum()) / (10 * HOUR)
    assert workload.offered_tok_s == workload.stationary().offered_tok_s == pytest.approx(tokens, rel=0.02)
    part = workload.take(np.array([1]))
    assert part.base is base
    assert (len(part), len(part.traffic), len(workload.traffic)) == (1, 2, 3)


def test_requests_until_some_time() -> None:
    requests = drawn([1.0])
    assert len(requests.until(HOUR)) == len(requests)
    assert requests.until(60.0).arrival.tolist() == [time for time in requests.arrival if time < 60.0]


@pytest.mark.parametrize("prefix", [0, 50, 100])
def test_a_shared_prefix_is_part_of_the_prompts_and_leaves_their_mean_and_spread(prefix: int) -> None:
    plain = make_workload([2.0, 1.0])
    workload = replace(plain, shared_prefix=np.array([prefix, 0], dtype=np.int32))
    requests, without = draw(workload, 40 * HOUR, 0), draw(plain, 40 * HOUR, 0)
    sharing = requests.adapter == 0
    assert requests.input[sharing].min() > prefix
    assert requests.input[sharing].mean() == pytest.approx(223, rel=0.02)
    assert requests.input[sharing].std() == pytest.approx(0.85 * 223, rel=0.06)
    assert (requests.input[~sharing] == without.input[~sharing]).all()
    assert (requests.output == without.output).all()


def test_prompts_of_other_laws_are_longer_than_their_prefix() -> None:
    law = Quantiles.of({0.5: 100.0, 0.95: 600.0})
    workload = replace(
        make_workload([2.0, 1.0]), input_quantiles=(law, None), shared_prefix=np.array([90, 7], dtype=np.int32)
    )
    requests = draw(workload, HOUR, 0)
    assert requests.input[requests.adapter == 0].min() == 91
    part = workload.take(np.array([1]))
    assert part.shared_prefix is not None
    assert part.shared_prefix.tolist() == [7]


def test_the_busiest_minute_is_that_of_base_traffic_as_well() -> None:
    base = make_workload([2.0], prompt=900, cv=3.0)
    workload = replace(
        make_workload([4.0]), base=base, phases=(Phase(300), Phase(300, scale=3, cv=2.0, lognormal=True))
    )
    found = workload.busiest()
    assert found.base is not None and found.base.lognormal_gaps is not None
    assert (found.base.rate[0], found.base.cv[0], bool(found.base.lognormal_gaps[0])) == (6.0, 2.0, True)


def test_phases_of_a_day_begin_with_the_busiest_hour() -> None:
    workload = replace(make_workload([4.0]), phases=(Phase(7 * HOUR, scale=0), Phase(HOUR / 2, scale=2), Phase(HOUR)))
    assert workload.from_busiest(HOUR).offered_within(HOUR) == pytest.approx(1.5 * make_workload([4.0]).offered_tok_s)
    assert workload.from_busiest(HOUR).offered_tok_s == pytest.approx(workload.offered_tok_s)
    short = replace(workload, phases=(Phase(300), Phase(300, scale=2)))
    assert short.from_busiest(HOUR) is short
