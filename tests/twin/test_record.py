"""Records of named numbers, in Python and in compiled code."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from twin.engine.compiled import Record


class Mixed(Record):
    """Of both kinds."""

    count: int
    total_s: float


class Holder(NamedTuple):
    """As the engine hands its state on."""

    array: NDArray[np.float64]
    mixed: Mixed


@numba.njit
def change(holder: Holder) -> None:
    holder.mixed.count += 2**40
    holder.mixed.total_s += 0.25


def test_compiled_code_and_python_see_the_same_numbers() -> None:
    holder = Holder(np.zeros(1), Mixed.of(count=3))
    assert (holder.mixed.count, holder.mixed.total_s) == (3, 0.0)
    change(holder)
    holder.mixed.total_s += 1
    change(holder)
    assert (holder.mixed.count, holder.mixed.total_s) == (3 + 2**41, 1.5)


def test_what_a_record_has_not_is_no_value_of_it() -> None:
    with pytest.raises(AssertionError, match="Mixed has no counts"):
        Mixed.of(counts=3)
