"""Durations, and limits of times, as people write them."""

from __future__ import annotations

import pytest
import typer

from advisor.cli.usage.duration import limit, seconds
from twin.service_level import Limit


@pytest.mark.parametrize(
    ("text", "expected"), [("2s", 2), ("500ms", 0.5), ("1.5 m", 90), ("1h", 3600), ("3600", 3600), (".5s", 0.5)]
)
def test_units(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "s", "2 days", "-1s", "0s", "nan", "inf", "1e999s", "2s2s"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2s", Limit(2.0)),
        ("mean=2s", Limit(2.0)),
        ("p99=500ms", Limit(0.5, "p99")),
        (" P95 = 1.5 s", Limit(1.5, "p95")),
        ("p50=3", Limit(3.0, "p50")),
    ],
)
def test_a_limit_is_of_the_mean_or_of_a_percentile(text: str, expected: Limit) -> None:
    assert limit(text) == expected


@pytest.mark.parametrize("text", ["p99", "p99=", "p90=1s", "=1s", "99=1s", "p99=0s", "p99=p99=1s", "max=1s"])
def test_no_other_limit_passes(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        limit(text)
