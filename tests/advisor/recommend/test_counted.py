"""Rates that were counted from few requests: what that leaves open, and what the answer says of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.recommend.answer.counted import ENOUGH, Counted
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.recommend.what_if.explore import explored
from advisor.report import Format, write
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from tests.advisor.recommend.test_recommend import uniform


def answered(pair: Pair, requests: int | None, rate: float = 0.02) -> Recommendation:
    asked = replace(of(uniform(20, rate)), counted_requests=requests)
    return explored(asked, pair, Objective(), recommend(asked, pair, Objective()))


def words(answer: Recommendation) -> str:
    return " ".join(write(answer, Format.TEXT).split())


def poisson(most: int, mean: float) -> float:
    """How likely no more than so many come."""
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(most + 1))


@given(st.integers(1, 400))
def test_nine_times_of_ten_the_rate_is_between_the_two(requests: int) -> None:
    rates = Counted(requests)
    below = 1 - poisson(requests - 1, requests * rates.least)
    assert below == pytest.approx(0.05, abs=0.002 if requests > 3 else 0.012)
    assert poisson(requests, requests * rates.most) == pytest.approx(0.05, abs=0.002)
    assert rates.few == (rates.requests < ENOUGH)


def test_enough_requests_tell_a_rate_to_a_tenth() -> None:
    assert 1 - Counted(ENOUGH).least == pytest.approx(0.1, abs=0.005)
    assert Counted(ENOUGH).most - 1 == pytest.approx(0.1, abs=0.01)


def test_no_chance_is_told_that_takes_as_known_what_five_requests_tell(pair: Pair) -> None:
    """A log of five requests was answered with "more than 99% sure"."""
    answer = answered(pair, 5)
    assert answer.steady
    text = words(answer)
    assert "% sure" not in text and "hardly tell" in text
    first = " ".join(write(answer, Format.TEXT).partition("vllm serve")[0].split())
    assert "counted from 5 requests only: 0.39 to 2.1 times as much may come" in first
    assert answer.document()["counted"] == {"requests": 5, "rates_range": [0.393, 2.101]}


def test_the_limit_is_told_with_the_most_that_may_come(pair: Pair) -> None:
    near = answered(pair, 5, rate=0.4)
    assert near.binding is not None and near.binding.load * Counted(5).most > 1
    assert "if 2.1 times as much comes, " in words(near) and "times what one GPU serves" in words(near)
    few = answered(pair, 100, rate=0.1)
    assert few.binding is not None
    assert f"if 1.2 times as much comes, {few.binding.load * Counted(100).most:.0%} of the limit" in words(few)


@pytest.mark.parametrize("requests", [None, ENOUGH, 100_000])
def test_rates_that_are_known_or_planned_are_answered_as_before(pair: Pair, requests: int | None) -> None:
    answer = answered(pair, requests)
    assert "% sure" in words(answer) and "only" not in words(answer).partition("vllm serve")[0]
    assert replace(answer, counted=None) == answered(pair, None)
    assert ("counted" in answer.document()) == (requests is not None)
