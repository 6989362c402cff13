"""Mixes: reproducible, nested, and the same however many of their adapters are looked at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.grid import MAX_ADAPTERS, PAPER_LENGTHS, RANKS, RATES, Classes, LogNormal, sample


def test_fewer_mixes_are_the_first_of_more_and_a_seed_fixes_them() -> None:
    assert sample(5, seed=0) == sample(40, seed=0)[:5]
    assert sample(5, seed=0) != sample(5, seed=1)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 60))
def test_every_mix_is_one_a_server_may_meet(seed: int, count: int) -> None:
    for recipe in sample(count, seed):
        mix = recipe.adapters(MAX_ADAPTERS)
        assert set(mix.rank) <= set(RANKS)
        assert np.all(mix.rate > 0)
        assert np.all((mix.input_mean >= 50) & (mix.input_mean <= 1000))
        assert np.all((mix.output_mean >= 20) & (mix.output_mean <= 600))
        if isinstance(recipe.rates, Classes):
            assert set(mix.rate) <= set(RATES)


@settings(max_examples=30, deadline=None)
@given(number=st.integers(0, 63), count=st.integers(48, MAX_ADAPTERS))
def test_the_first_adapters_are_like_all_of_them(number: int, count: int) -> None:
    recipe = sample(64, seed=0)[number]
    few, all_of_them = recipe.adapters(count), recipe.adapters(MAX_ADAPTERS)
    np.testing.assert_array_equal(few.rate, all_of_them.rate[:count])
    assert few.rate.mean() == pytest.approx(all_of_them.rate.mean(), rel=0.2)
    assert few.rank.mean() == pytest.approx(all_of_them.rank.mean(), rel=0.1)


def test_about_half_of_the_mixes_are_of_the_papers_kind() -> None:
    recipes = sample(256, seed=0)
    assert 118 <= sum(isinstance(recipe.rates, Classes) for recipe in recipes) <= 138
    assert 118 <= sum(recipe.lengths == PAPER_LENGTHS for recipe in recipes) <= 138


def test_classes_have_equal_shares_and_log_normal_rates_their_mean() -> None:
    unit = (np.arange(3000) + 0.5) / 3000
    values, counts = np.unique(Classes((8.0, 16.0, 32.0)).quantile(unit), return_counts=True)
    assert values.tolist() == [8, 16, 32]
    assert counts.tolist() == [1000] * 3
    assert LogNormal(mean=0.5, sigma=0.8).quantile(unit).mean() == pytest.approx(0.5, rel=0.01)
    assert np.ptp(LogNormal(mean=0.5, sigma=0.0).quantile(unit)) < 1e-4
