"""Charts as SVG: lines over the number of adapters, axes with round numbers, and a mark for the limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 520, 230
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 12, 38
TICKS = 5


@dataclass(frozen=True, slots=True)
class Tick:
    """A number on an axis."""

    at: float
    """Pixels."""
    text: str


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of numbers, and where they are drawn."""

    low: float
    high: float
    start: float
    """Pixels of `low`."""
    end: float
    """Pixels of `high`."""
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Pixels of a value; of one beyond the axis, those of its end."""
        value = min(max(value, self.low), self.high)
        share = (value - self.low) / (self.high - self.low)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[Tick]:
        """Round numbers along the axis."""
        if self.logarithmic:
            exponents = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            values = [10.0**exponent for exponent in exponents]
        else:
            step = _round_step((self.high - self.low) / TICKS)
            values = [step * i for i in range(math.ceil(self.low / step), math.floor(self.high / step + 1e-9) + 1)]
        return [Tick(self.place(value), f"{value:,.0f}" if value >= 1 else f"{value:g}") for value in values]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart."""

    name: str
    path: str
    """SVG."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, ready to be written into a page."""

    title: str
    unit: str
    note: str
    """What marks and dashes are."""
    x: list[Tick]
    y: list[Tick]
    lines: list[Line]
    mark: float | None
    """Pixels of the limit, along x."""
    limit: float | None = None
    """Pixels of what must not be passed, along y."""


def chart(
    title: str,
    unit: str,
    lines: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    note: str = "",
    *,
    mark: float | None = None,
    limit: float | None = None,
    logarithmic: bool = False,
) -> Chart:
    """A chart of named lines through points (x, y), all y above 0 where the axis is logarithmic."""
    xs = [x for _, points in lines for x, _ in points]
    ys = [y for _, points in lines for _, y in points if math.isfinite(y)] + ([limit] if limit else [])
    across = Axis(0.0, max([*xs, mark or 0.0, 1.0]), LEFT, WIDTH - RIGHT)
    low = 10.0 ** math.floor(math.log10(max(min(ys, default=1.0), 1e-3))) if logarithmic else 0.0
    high = max([*ys, low + 1.0]) * (1.0 if logarithmic else 1.05)
    if logarithmic:
        high = 10.0 ** math.ceil(math.log10(high))
    up = Axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic)
    return Chart(
        title,
        unit,
        note,
        across.ticks(),
        up.ticks(),
        [Line(name, _path([(across.place(x), up.place(y)) for x, y in points])) for name, points in lines],
        None if mark is None else across.place(mark),
        None if limit is None else up.place(limit),
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points) if points else ""


def _round_step(step: float) -> float:
    """1, 2 or 5 times a power of ten, no smaller than `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= step * (1 - 1e-9))
