"""Mixes: reproducible, alike however many of their adapters are looked at, and as wide as they are said to be."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.campaign.grid import (
    BASE_SHARE,
    EVEN,
    GRIDS,
    INPUT_MEAN,
    MAX_ADAPTERS,
    OUTPUT_MEAN,
    PAPER_LENGTHS,
    POINTS,
    PREFIX_SHARE,
    RANKS,
    RATES,
    TOKEN_RATE,
    USUAL_RANKS,
    WITH_BASE,
    WITH_PREFIX,
    Classes,
    GridName,
    LogNormal,
    Recipe,
    Zipf,
    papers,
    sample,
)
from twin.workload import Workload

WIDE = sample(GRIDS[GridName.WIDE].mixes, seed=0)


def test_fewer_mixes_are_the_first_of_more_and_a_seed_fixes_them() -> None:
    assert sample(5, seed=0) == sample(40, seed=0)[:5]
    assert sample(5, seed=0) != sample(5, seed=1)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 60))
def test_every_mix_is_one_a_server_may_meet(seed: int, count: int) -> None:
    for recipe in sample(count, seed):
        mix = recipe.adapters(MAX_ADAPTERS)
        assert set(mix.rank) <= set(USUAL_RANKS)
        for values in (mix.rate, mix.input_mean, mix.input_std, mix.output_mean, mix.output_std, mix.cv):
            assert np.all(np.isfinite(values) & (values > 0))
        if mix.base is not None:
            assert BASE_SHARE[0] <= recipe.base_share <= BASE_SHARE[1]
            assert mix.base_tok_s / mix.offered_tok_s == pytest.approx(recipe.base_share)
        if recipe.kind == "papers":
            assert mix.base is None
            assert set(mix.rate) <= set(RATES)
            assert set(mix.rank) <= set(RANKS)
            assert recipe.lengths == PAPER_LENGTHS
        if recipe.kind in ("papers", "alike", "varied"):
            assert np.all(mix.traffic.cv == 1)


@settings(max_examples=30, deadline=None)
@given(number=st.integers(0, len(WIDE) - 1), count=st.integers(48, MAX_ADAPTERS))
def test_any_number_of_adapters_is_the_same_mix(number: int, count: int) -> None:
    recipe = WIDE[number]
    few, all_of_them = recipe.adapters(count), recipe.adapters(MAX_ADAPTERS)
    assert few.rate.mean() == pytest.approx(all_of_them.rate.mean(), rel=0.1)
    assert few.rank.mean() == pytest.approx(all_of_them.rank.mean(), rel=0.1)
    np.testing.assert_array_equal(few.input_mean, all_of_them.input_mean[:count])


def test_the_kinds_have_their_shares() -> None:
    kinds = Counter(recipe.kind for recipe in WIDE)
    assert kinds.pop("papers") == pytest.approx(len(WIDE) / 4, rel=0.05)
    assert all(count == pytest.approx(len(WIDE) * 3 / 16, rel=0.05) for count in kinds.values())


def test_some_mixes_have_even_rates_of_every_size() -> None:
    spread = [recipe for recipe in WIDE if recipe.kind in ("alike", "bursty", "varied")]
    even = [recipe for recipe in spread if np.ptp(recipe.adapters(64).rate) == 0]
    assert len(even) / len(spread) == pytest.approx(EVEN, abs=0.05)
    assert {recipe.kind for recipe in even} == {"alike", "bursty", "varied"}
    load = [recipe.adapters(64).offered_tok_s / 64 for recipe in even]
    assert min(load) < 2 * TOKEN_RATE[0]
    assert max(load) > TOKEN_RATE[1] / 2


def test_some_mixes_have_base_traffic_of_all_shares() -> None:
    shares = np.array([recipe.base_share for recipe in WIDE if recipe.kind != "papers"])
    assert (shares > 0).mean() == pytest.approx(WITH_BASE, abs=0.06)
    assert np.quantile(shares[shares > 0], [0.05, 0.5, 0.95]) == pytest.approx([0.095, 0.5, 0.905], abs=0.08)


def test_some_mixes_have_prompts_that_begin_alike() -> None:
    shares = np.array([recipe.prefix_share for recipe in WIDE if recipe.kind != "papers"])
    assert (shares > 0).mean() == pytest.approx(WITH_PREFIX, abs=0.06)
    assert PREFIX_SHARE[0] <= shares[shares > 0].min() < 0.2
    assert 0.8 < shares.max() <= PREFIX_SHARE[1]
    mix = next(recipe for recipe in WIDE if recipe.prefix_share).adapters(50)
    assert mix.shared_prefix is not None
    assert np.all(mix.shared_prefix < mix.input_mean)


def test_the_design_is_as_wide_as_it_is_said_to_be() -> None:
    mixes = [recipe.adapters(256) for recipe in WIDE]
    lengths = [recipe.lengths for recipe in WIDE]
    for values, low, high in (
        ([each.input_mean for each in lengths], 1.2 * INPUT_MEAN[0], INPUT_MEAN[1] / 1.2),
        ([each.output_mean for each in lengths], 1.5 * OUTPUT_MEAN[0], OUTPUT_MEAN[1] / 1.2),
        ([each.input_std / each.input_mean for each in lengths], 0.3, 1.3),
        ([mix.cv.mean() for mix in mixes], 1.0, 4.5),
        ([mix.offered_tok_s / len(mix) for mix in mixes], 1.5 * TOKEN_RATE[0], TOKEN_RATE[1] / 1.2),
        ([mix.rate.max() / mix.rate.sum() for mix in mixes], 1 / 200, 0.3),
    ):
        assert min(values) <= low
        assert max(values) >= high
    assert {rank for mix in mixes for rank in mix.rank} == set(USUAL_RANKS)


@given(times=st.floats(1e-3, 1e3), law=st.sampled_from([Classes((3.0, 2.0, 1.0)), LogNormal(0.5, 1.2), Zipf(0.5, 0.7)]))
def test_a_law_that_is_scaled_deals_so_many_times_as_much(times: float, law: Classes | LogNormal | Zipf) -> None:
    assert law.scaled(times).deal(30) == pytest.approx(times * law.deal(30))


def test_no_share_of_the_load_hangs_on_the_order_of_mixes_kept_aside() -> None:
    def load(recipe: Recipe) -> float:
        mix: Workload = recipe.adapters(64)
        return float(np.log(mix.offered_tok_s))

    aside = [load(recipe) for recipe in WIDE if recipe.number % 5 == 4]
    assert np.mean(aside) == pytest.approx(np.mean([load(recipe) for recipe in WIDE]), abs=0.3)


def test_the_papers_grid_is_complete() -> None:
    mixes = papers()
    assert len(mixes) == GRIDS[GridName.PAPERS].mixes == 286 * 10
    seen = {(tuple(sorted(mix.rates.values)), tuple(sorted(mix.ranks.values))) for mix in mixes}  # type: ignore[union-attr]
    assert len(seen) == len(mixes)
    points = {(adapters, slots) for adapters in POINTS for slots in POINTS if slots <= adapters}
    assert len(points) == 66


def test_classes_have_equal_shares_and_other_laws_their_mean() -> None:
    unit = (np.arange(3000) + 0.5) / 3000
    values, counts = np.unique(Classes((8.0, 16.0, 32.0)).quantile(unit), return_counts=True)
    assert values.tolist() == [8, 16, 32]
    assert counts.tolist() == [1000] * 3
    assert LogNormal(mean=0.5, sigma=0.8).quantile(unit).mean() == pytest.approx(0.5, rel=0.01)
    assert np.ptp(LogNormal(mean=0.5, sigma=0.0).quantile(unit)) < 1e-4


@given(count=st.integers(1, 1024), skew=st.floats(0, 0.95))
def test_however_many_share_a_skewed_law_its_mean_is_kept(count: int, skew: float) -> None:
    for law in (LogNormal(0.5, 2.6 * skew), Zipf(0.5, skew)):
        dealt = law.deal(count)
        assert dealt.mean() == pytest.approx(0.5)
        assert np.all(dealt > 0)
        assert np.all(np.diff(dealt) <= 1e-9)
