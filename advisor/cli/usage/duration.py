"""Durations, and limits of times, as people write them."""

from __future__ import annotations

import math
import re

import typer

from twin.service_level import STATISTICS, Limit, Statistic

_SECONDS = {"ms": 1e-3, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_DURATION = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([a-z]*)\s*")


def seconds(text: str) -> float:
    """`2s`, `500ms`, `1.5m`, `1h` or a bare number of seconds, in seconds.

    Raises:
        typer.BadParameter: not a duration, or not above 0.
    """
    found = _DURATION.fullmatch(text)
    if found is None or found[2] not in _SECONDS:
        raise typer.BadParameter(f"not a duration: {text!r}; write a number and ms, s, m or h, such as 500ms or 2s")
    duration = float(found[1]) * _SECONDS[found[2]]
    if not 0 < duration < math.inf:
        raise typer.BadParameter(f"a duration must be above 0, not {text!r}")
    return duration


def limit(text: str) -> Limit:
    """`2s` limits a mean, `p99=500ms` a percentile; durations as `seconds` reads them.

    Raises:
        typer.BadParameter: not a limit.
    """
    name, given, duration = text.rpartition("=")
    statistic = _statistic(name) if given else "mean"
    if statistic is None:
        known = ", ".join(STATISTICS)
        raise typer.BadParameter(f"no limit: {text!r}; before = goes one of {known}, such as p99=500ms")
    return Limit(seconds(duration), statistic)


def _statistic(name: str) -> Statistic | None:
    wanted = name.strip().lower()
    return next((statistic for statistic in STATISTICS if statistic == wanted), None)
