"""The search for the most adapters: what it claims is true."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from advisor.recommend.choice.search import PROBES, largest


def missing(met: set[int]) -> tuple[dict[int, bool], object]:
    tried: dict[int, bool] = {}

    def misses(size: int) -> list[str]:
        tried[size] = size in met
        return [] if tried[size] else [f"{size} misses"]

    return tried, misses


@given(st.integers(1, 400), st.integers(0, 400), st.integers(1, 400))
def test_where_more_is_never_easier_the_limit_is_found(most: int, limit: int, start: int) -> None:
    """Neither one short nor one too many."""
    _, misses = missing(set(range(limit + 1)))
    size, failing = largest(min(start, most), most, misses)  # type: ignore[arg-type]
    assert size == min(limit, most)
    assert failing == ([] if limit >= most else [f"{size + 1} misses"])


@given(st.integers(1, 120), st.sets(st.integers(1, 120)), st.integers(1, 120))
def test_the_answer_meets_and_one_more_was_tried_and_missed(most: int, met: set[int], start: int) -> None:
    """Whatever a classifier says of single sizes."""
    tried, misses = missing(met)
    size, failing = largest(min(start, most), most, misses)  # type: ignore[arg-type]
    assert size == 0 or tried[size]
    if size < most:
        assert tried[size + 1] is False
        assert failing == [f"{size + 1} misses"]
        step = max(round(size * 0.02), 1)
        beyond = [size + 1 + step * probe for probe in range(1, PROBES + 1)]
        assert not any(each in met for each in beyond if each <= most)


def test_a_size_that_is_unsure_by_chance_does_not_end_the_search() -> None:
    """29 no, 31 yes, 32 no, 34 yes: the search goes on beyond a gap."""
    _, misses = missing({*range(1, 29), 31, 34})
    size, failing = largest(20, 200, misses)  # type: ignore[arg-type]
    assert (size, failing) == (34, ["35 misses"])
