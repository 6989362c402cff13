"""Mean and percentiles of what is expected are of one distribution."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.inventory.inventory import parse
from advisor.recommend.answer.distribution import TAIL, allowing, bounds
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.zoo.pairs import find_pair
from tests.advisor import inventories

times = st.floats(0.1, 1e5)


def of_one_distribution(mean: float, percentiles: dict[float, float]) -> bool:
    low, high = bounds(percentiles)
    return sorted(percentiles.values()) == [percentiles[each] for each in sorted(percentiles)] and (
        low <= mean * (1 + 1e-9) and mean <= high * (1 + 1e-9)
    )


@given(times, times, times, times)
def test_percentiles_rise_and_allow_the_mean(mean: float, p50: float, p95: float, p99: float) -> None:
    told = {0.5: p50, 0.95: p95, 0.99: p99}
    found = allowing(mean, told)
    assert of_one_distribution(mean, found) and found[0.5] <= mean
    if of_one_distribution(mean, told) and p50 <= mean:
        assert found == told


def test_bounds_are_those_of_times_as_short_and_as_long_as_may_be() -> None:
    low, high = bounds({0.5: 10.0, 0.95: 100.0, 0.99: 1000.0})
    assert low == pytest.approx(0.45 * 10 + 0.04 * 100 + 0.01 * 1000)
    assert high == pytest.approx(0.5 * 10 + 0.45 * 100 + 0.04 * 1000 + 0.01 * TAIL * 1000)


def traffic(mean_input: float, mean_output: float, rate: float, count: int, **more: Any) -> dict[str, Any]:
    lengths = {"input": {"mean": mean_input, "std": mean_input}, "output": {"mean": mean_output, "std": mean_output}}
    adapter = {"name": "t", "count": count, "rank": 16, "rate": rate, **more}
    return {"model": "Llama-3.1-8B-Instruct", "gpu": "h100-64gb", "lengths": lengths, "adapters": [adapter]}


@pytest.mark.parametrize("gpu", ["h100-64gb", "l40s"])
@pytest.mark.parametrize(
    "mix",
    [
        traffic(4000, 20, 0.05, 3),
        traffic(200, 200, 0.02, 100),
        traffic(200, 200, 0.002, 1000, cv=5),
        traffic(20, 2000, 0.01, 10),
        traffic(1500, 4, 0.3, 12, together="panel"),
        traffic(300, 1, 1.0, 8),
    ],
    ids=lambda mix: f"{mix['lengths']['input']['mean']} {mix['lengths']['output']['mean']}",
)
def test_what_an_answer_expects(mix: dict[str, Any], gpu: str) -> None:
    inventory = parse(inventories.toml({**mix, "gpu": gpu}))
    pair = find_pair(inventory.model, inventory.one_gpu(), None, inventory.engine)
    figures = recommend(inventory, pair, Objective()).figures()
    told = [name for name in ("ttft", "itl") if f"{name}_ms" in figures]
    assert figures and "ttft" in told
    for name in told:
        percentiles = {share: figures[f"{name}_p{100 * share:.0f}_ms"] for share in (0.5, 0.95, 0.99)}
        assert of_one_distribution(figures[f"{name}_ms"], percentiles)
        assert percentiles[0.5] <= figures[f"{name}_ms"]


def test_who_is_asked_at_the_same_moment_waits_in_the_expectation_of_a_derived_pair_too() -> None:
    """What the likeliest server does was told as if a panel's adapters were asked one by one."""
    alone, panel = (
        parse(inventories.toml({**traffic(1500, 20, 0.1, 12, **more), "gpu": "l40s"}))
        for more in ({}, {"together": "panel"})
    )
    pair = find_pair(panel.model, panel.one_gpu(), None, panel.engine)
    first, second = (recommend(each, pair, Objective()).expected for each in (alone, panel))
    assert first is not None and second is not None
    assert second.ttft_ms > 2 * first.ttft_ms
