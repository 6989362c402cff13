"""Durations as people write them."""

from __future__ import annotations

import pytest
import typer

from advisor.cli.duration import seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("2s", 2), ("500ms", 0.5), ("1.5 m", 90), ("1h", 3600), ("3600", 3600), (".5s", 0.5)]
)
def test_units(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "s", "2 days", "-1s", "0s", "nan", "inf", "1e999s", "2s2s"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        seconds(text)
