"""The error measures, held to their definitions and to scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from twin.accuracy import macro_f1, mape, p95, smape

positive = st.floats(min_value=1e-3, max_value=1e6)
pairs = st.lists(st.tuples(positive, positive), min_size=1, max_size=30)


def test_a_tenth_too_much_is_half_of_that_in_smape() -> None:
    true, predicted = [100.0, 200.0], [110.0, 220.0]
    assert mape(true, predicted) == pytest.approx(10)
    assert p95(true, predicted) == pytest.approx(10)
    assert smape(true, predicted) == pytest.approx(100 * 10 / 210)


@given(pairs)
def test_smape_is_symmetric_and_bounded(values: list[tuple[float, float]]) -> None:
    a, b = np.array(values).T
    assert smape(a, b) == pytest.approx(smape(b, a))
    assert 0 <= smape(a, b) <= 100
    assert smape(a, a) == 0


def test_smape_takes_zeros() -> None:
    assert smape([0.0, 0.0], [0.0, 1.0]) == pytest.approx(50)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=50))
def test_macro_f1_is_scikit_learns(values: list[tuple[bool, bool]]) -> None:
    true, predicted = np.array(values).T
    labels = np.union1d(true, predicted)
    assert macro_f1(true, predicted) == pytest.approx(f1_score(true, predicted, labels=labels, average="macro"))


@pytest.mark.parametrize("measure", [smape, mape, p95, macro_f1])
def test_arrays_of_different_length_are_refused(measure) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="one equal length"):
        measure([1.0, 2.0], [1.0])
