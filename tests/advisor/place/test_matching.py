"""The auction finds as much as the Hungarian method does, but for what it is allowed to miss."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from advisor.place.changes.matching import match

VALUES = st.dictionaries(
    st.integers(0, 12), st.dictionaries(st.integers(0, 12), st.integers(1, 60), max_size=6), max_size=12
)


def best(values: dict[int, dict[int, int]]) -> int:
    matrix = np.zeros((13, 13))
    for buyer, wanted in values.items():
        for thing, value in wanted.items():
            matrix[buyer, thing] = value
    return int(matrix[linear_sum_assignment(matrix, maximize=True)].sum())


@settings(max_examples=300)
@given(VALUES)
def test_it_finds_the_best(values: dict[int, dict[int, int]]) -> None:
    found = match(values, slack=0.0)
    assert len(set(found.values())) == len(found)
    assert sum(values[buyer][thing] for buyer, thing in found.items()) == best(values)
    roughly = match(values, slack=0.1)
    assert sum(values[buyer][thing] for buyer, thing in roughly.items()) >= best(values) - 0.1 * sum(
        max(wanted.values(), default=0) for wanted in values.values()
    )


def test_a_thousand_gpus_take_no_time() -> None:
    generator = np.random.default_rng(0)
    values = {
        buyer: {int(thing): int(generator.integers(1, 5)) for thing in generator.integers(0, 1000, 60)}
        for buyer in range(1000)
    }
    assert len(match(values)) > 950
