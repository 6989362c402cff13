"""Limits of percentiles: what the models know of them, and what the digital twin says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.recommend.objective import Expectation, Objective, ObjectiveName
from advisor.recommend.recommend import recommend
from advisor.report.text import write
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import named
from tests.advisor.inventories import of
from twin.service_level import Limit
from twin.workload import Workload

P99 = Objective(ttft_limit=Limit(0.5, "p99"))
EXPECTED = Expectation(
    88.0,
    1.0,
    40.0,
    63.0,
    200_000,
    chance=0.99,
    required_chance=0.92,
    percentiles={"ttft_p99_ms": 400.0, "itl_p95_ms": 55.0},
    margins={"ttft_p99_ms": 1.2, "itl_p95_ms": 1.5},
)


@pytest.fixture(scope="module")
def llama() -> Pair:
    return named("llama-3.1-8b-instruct--h100-64gb")


def mix(rate: float, adapters: int = 120) -> Workload:
    return Workload.alike(
        np.full(adapters, rate), rank=16.0, input_mean=223.0, input_std=191.0, output_mean=196.0, output_std=181.0
    )


def test_a_percentile_is_kept_with_its_margin() -> None:
    assert P99.misses(EXPECTED) == []
    near = replace(EXPECTED, margins={"ttft_p99_ms": 1.3})
    assert P99.misses(near) == ["TTFT P99 400.00 ms, in one of 20 hours 520.00 ms > 500 ms"]
    assert P99.steady(near)
    assert not P99.steady(replace(near, percentiles={"ttft_p99_ms": 501.0}))
    both = Objective(ObjectiveName.LATENCY, Limit(1.0, "p99"), Limit(0.06, "p95"))
    assert both.misses(EXPECTED) == ["ITL P95 55.00 ms, in one of 20 hours 82.50 ms > 60 ms"]


def test_a_simulated_hour_is_held_to_the_percentile_and_not_to_the_mean() -> None:
    hour = {"oom": False, "starved": False, "ttft_ms": 900.0, "ttft_p99_ms": 400.0, "itl_ms": 90.0, "itl_p95_ms": 61.0}
    assert P99.missed_by(hour) == []
    assert P99.missed_by({**hour, "ttft_p99_ms": 501.0}) == ["TTFT P99 501.0 ms > 500 ms"]
    slow = Objective(ObjectiveName.LATENCY, Limit(1.0, "p99"), Limit(0.06, "p95"))
    assert slow.missed_by(hour) == ["ITL P95 61.0 ms > 60 ms"]


@pytest.mark.parametrize(("limit_s", "asked_s"), [(0.1, 0.5), (3.0, 3.0), (90.0, 30.0)])
def test_the_models_are_asked_of_a_mean_that_they_know(limit_s: float, asked_s: float) -> None:
    assert Objective(ttft_limit=Limit(limit_s, "p99")).ttft_limit_s == asked_s
    assert Objective(ttft_limit=Limit(limit_s)).ttft_limit_s == limit_s


def test_a_limit_of_a_percentile_is_warned_of_and_told_how_to_settle(llama: Pair) -> None:
    tail = Objective(ObjectiveName.LATENCY, Limit(0.5, "p99"), Limit(0.06, "p95"))
    document = recommend(of(mix(0.02, 20)), llama, tail).document()
    (said,) = (each for each in document["warnings"] if "percentiles" in each)
    assert said.startswith("TTFT P99 and ITL P95 are limited")
    assert "factor of 2" in said and "the digital twin can tell" in said
    assert not any("percentiles" in each for each in recommend(of(mix(0.02, 20)), llama, Objective()).warnings)


def test_predicted_percentiles_are_told_as_about_so_much(llama: Pair) -> None:
    text = write(recommend(of(mix(0.02, 20)), llama, Objective()))
    assert "P99 about " in text and "factor of 2" in " ".join(text.split())


def test_the_tighter_the_percentile_the_fewer_are_admitted(llama: Pair) -> None:
    asked = of(mix(0.1, 300))
    admitted = [
        recommend(asked, llama, Objective(ttft_limit=limit)).admission.adapters
        for limit in (Limit(0.4, "p99"), Limit(1.5, "p99"), Limit(20.0, "p99"))
    ]
    assert admitted == sorted(admitted)
    assert admitted[0] < admitted[-1]
    slow = [
        recommend(asked, llama, Objective(ObjectiveName.LATENCY, itl_limit=limit)).admission.adapters
        for limit in (Limit(0.045, "p95"), Limit(0.09, "p95"))
    ]
    assert slow[0] < slow[1]
