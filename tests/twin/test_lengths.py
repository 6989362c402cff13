"""Lengths by quantiles and as tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.lengths import TAIL, Quantiles, by_law

NORMAL = np.random.default_rng(0).standard_normal(200_000)

quantiles = st.dictionaries(st.integers(1, 99), st.floats(1, 1e6), min_size=2, max_size=9).map(
    lambda found: dict(zip((p / 100 for p in sorted(found)), sorted(found.values()), strict=True))
)


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
    assert (law.mean, law.std) == pytest.approx((50.0, 0.0), abs=1e-9)


@pytest.mark.parametrize("bad", [{}, {0.5: 10.0}, {0.5: 10.0, 0.9: 9.0}, {0.1: 0.5, 0.9: 3.0}])
def test_what_is_no_distribution(bad: dict[float, float]) -> None:
    with pytest.raises(ValueError, match="at least two quantiles"):
        Quantiles.of(bad)


@given(st.lists(st.sampled_from(["a", "b", None]), min_size=1), st.lists(st.integers(0, 10_000)))
def test_every_request_finds_its_law(laws: list[str | None], numbers: list[int]) -> None:
    adapter = np.array([number % len(laws) for number in numbers], dtype=np.int32)
    found = {int(i): law for law, where in by_law(laws, adapter) for i in where}
    assert found == {i: laws[a] for i, a in enumerate(adapter) if laws[a] is not None}
