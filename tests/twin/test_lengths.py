"""Lengths: log-normal, by quantiles and as tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from twin.lengths import LONGEST, TAIL, LogNormal, Quantiles, by_law, rounded

NORMAL = np.random.default_rng(0).standard_normal(200_000)

quantiles = st.dictionaries(st.integers(1, 99), st.floats(1, 1e6), min_size=2, max_size=9).map(
    lambda found: dict(zip((p / 100 for p in sorted(found)), sorted(found.values()), strict=True))
)
SCORES = np.linspace(-13, 13, 8_001)
WEIGHTS = np.exp(-(SCORES**2) / 2) / np.exp(-(SCORES**2) / 2).sum()
MEANS, STDS = st.floats(1, 1e6), st.floats(0, 1e7)


def log_normal(mean: float, std: float) -> LogNormal:
    return LogNormal.of(np.array([mean]), np.array([std]))


def each(law: LogNormal, normal: NDArray[np.float64], adapter: int = 0) -> NDArray[np.float64]:
    return law(normal, np.full(len(normal), adapter, dtype=np.int32))


@given(st.lists(st.tuples(MEANS, STDS), min_size=1, max_size=5))
@example([(2, 20), (1, 1e7), (1, 0), (1 + 1e-12, 1e7), (1.5, 1e-9), (1e6, 1e7), (1e6, 0)])
def test_log_normal_lengths_have_the_mean_asked_for_and_fit_into_32_bits(asked: list[tuple[float, float]]) -> None:
    means, stds = np.array(asked).T
    law = LogNormal.of(means, stds)
    rng = np.random.default_rng(0)
    for adapter, mean in enumerate(means):
        tokens = each(law, SCORES, adapter)
        drawn = rounded(rng, tokens.copy())
        assert drawn.min() >= 1
        assert int(drawn.max()) * 2 < 2**31
        assert np.abs(drawn - np.clip(tokens, 1, LONGEST)).max() <= 1  # what the mean is that of
        assert WEIGHTS @ np.clip(tokens, 1, LONGEST) == pytest.approx(mean, rel=1e-5)


@given(MEANS, STDS)
def test_only_lengths_whose_means_would_shift_are_drawn_otherwise(mean: float, std: float) -> None:
    variance = np.log1p((std / mean) ** 2)
    plain = np.exp(np.log(mean) - variance / 2 + np.sqrt(variance) * SCORES)
    shift = WEIGHTS @ np.clip(plain, 1, LONGEST) / mean - 1
    same = np.array_equal(each(log_normal(mean, std), SCORES), plain)
    if abs(shift) < 0.9e-6:
        assert same
    elif abs(shift) > 1e-5:
        assert not same


def test_short_lengths_keep_their_mean() -> None:
    drawn = rounded(np.random.default_rng(1), each(log_normal(2, 20), NORMAL))
    assert drawn.mean() == pytest.approx(2, rel=0.1)


def test_lengths_beyond_32_bits_are_cut() -> None:
    rng = np.random.default_rng(0)
    assert rounded(rng, np.array([1e300, np.inf, 2.0**31, 0.0])).tolist() == [LONGEST, LONGEST, LONGEST, 1]
    assert Quantiles.of({0.5: 1e12, 0.6: 1e13})(np.zeros(1)).tolist() == [LONGEST]


@given(quantiles)
def test_mean_and_spread_of_quantiles_are_those_of_what_is_drawn(given: dict[float, float]) -> None:
    law = Quantiles.of(given)
    drawn = rounded(np.random.default_rng(0), law(NORMAL)).astype(np.float64)
    spread = law.std / np.sqrt(len(drawn))
    assert drawn.mean() == pytest.approx(law.mean, rel=1e-3, abs=6 * spread)
    assert drawn.std() == pytest.approx(law.std, rel=0.05, abs=0.01)


def test_short_quantiles_have_the_mean_and_spread_of_whole_tokens() -> None:
    law = Quantiles.of({0.25: 1.0, 0.75: 2.0})
    drawn = rounded(np.random.default_rng(0), law(NORMAL))
    assert law.mean == pytest.approx(drawn.mean(), rel=0.005)
    assert law.std == pytest.approx(drawn.std(), rel=0.01)


@given(quantiles)
def test_drawn_lengths_have_the_quantiles_and_the_mean(given: dict[float, float]) -> None:
    law = Quantiles.of(given)
    drawn = law(NORMAL)
    for share, tokens in given.items():
        assert np.mean(drawn <= tokens * (1 + 1e-9)) >= share - 0.005
        assert np.mean(drawn < tokens * (1 - 1e-9)) <= share + 0.005
    assert drawn.max() <= max(given.values()) * TAIL * (1 + 1e-9)
    assert drawn.mean() == pytest.approx(law.mean, rel=0.02, abs=6 * law.std / np.sqrt(len(drawn)))


def test_two_quantiles_make_a_log_normal_distribution() -> None:
    law = Quantiles.of({0.5: 100.0, 0.8413447460685429: 200.0})  # one standard deviation: a factor of 2
    sigma = np.log(2)
    assert law.mean == pytest.approx(100 * np.exp(sigma**2 / 2), rel=1e-3)
    assert law.std == pytest.approx(law.mean * np.sqrt(np.expm1(sigma**2)), rel=0.01)


def test_all_alike() -> None:
    law = Quantiles.of({0.1: 50.0, 0.9: 50.0})
    assert (law.mean, law.std) == pytest.approx((50.0, 0.0), abs=1e-6)


@pytest.mark.parametrize("bad", [{}, {0.5: 10.0}, {0.5: 10.0, 0.9: 9.0}, {0.1: 0.5, 0.9: 3.0}])
def test_what_is_no_distribution(bad: dict[float, float]) -> None:
    with pytest.raises(ValueError, match="at least two quantiles"):
        Quantiles.of(bad)


@given(st.lists(st.sampled_from(["a", "b", None]), min_size=1), st.lists(st.integers(0, 10_000)))
def test_every_request_finds_its_law(laws: list[str | None], numbers: list[int]) -> None:
    adapter = np.array([number % len(laws) for number in numbers], dtype=np.int32)
    found = {int(i): law for law, where in by_law(laws, adapter) for i in where}
    assert found == {i: laws[a] for i, a in enumerate(adapter) if laws[a] is not None}
