"""Curves over the number of adapters, and their chart: they rise, and end where an answer would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.inventory.inventory import load
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.recommend.what_if.explore import explored
from advisor.recommend.what_if.growth import grow
from advisor.report.bars import write as write_bars
from advisor.report.prose.outlook import takes
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import find_pair
from tests.advisor import inventories
from tests.advisor.recommend.test_what_if import answered, inventory


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_curves_end_where_the_objective_is_missed(pair: Pair, seed: int) -> None:
    """Behind it what models predict rises and falls as it happens: a reader would take it for what the server does."""
    asked = inventories.random(seed)
    answer = explored(asked, pair, Objective(), recommend(asked, pair, Objective()))
    drawn = grow(asked, pair, Objective(), answer)
    for curve in () if drawn is None else drawn.curves:
        beyond = [point for point in curve.points if point.adapters > answer.admission.asked]
        assert all(point.met for point in beyond[:-1])
        for name in ("throughput_tok_s", "itl_ms", "ttft_ms"):
            told = [getattr(point, name) for point in curve.points[: -1 if curve.ended else None]]
            assert told == sorted(told), "more adapters are never served faster"
        if curve.ended and len(curve.points) > 1:
            shown = write_bars(curve, answer.admission.asked).splitlines()
            assert shown[-1].endswith("objective missed")


def test_the_chart_of_the_example_only_rises() -> None:
    asked = load(Path("examples/inventory.toml"))
    pair, answer = find_pair(asked.model, asked.gpu), answered(asked)
    drawn = grow(asked, pair, Objective(), answer)
    assert drawn is not None and answer.settings is not None
    (curve,) = (each for each in drawn.curves if each.max_loras == answer.settings.max_loras)
    for name in ("throughput_tok_s", "ttft_ms", "itl_ms"):
        told = [getattr(point, name) for point in curve.points]
        assert told == sorted(told), name
    assert curve.ended and "behind it requests queue up" in takes(drawn, answer)


def test_a_chart_ends_where_host_memory_is_full() -> None:
    asked = replace(inventory(count=100), host_memory_gib=9.0)
    answer = answered(asked)
    drawn = grow(asked, find_pair(asked.model, asked.gpu), Objective(), answer)
    assert drawn is not None and answer.binding is not None and answer.binding.what == "host_memory"
    assert f"{answer.binding.adapters} adapters, all that host memory holds" in takes(drawn, answer)
    assert max(point.adapters for curve in drawn.curves for point in curve.points) == answer.binding.adapters
