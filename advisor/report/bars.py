"""A curve for a terminal: a row for a number of adapters, a bar for throughput, and where the objective ends."""

from __future__ import annotations

from advisor.recommend.what_if.growth import Curve, Point
from twin.service_level import words

ROWS = 12
BAR = 28
"""Columns of the longest bar, so that a row stays within 80."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def write(curve: Curve, served: int, *, ttft: str = "ttft_ms", end: str = "", plain: bool = False) -> str:
    """The curve as lines; `served` adapters are marked. With `plain` of ASCII characters alone.

    `end` is of which server it is, where nobody measured the pair; `ttft` is what of the TTFT the curve tells, by
    its name among measures.

    Few enough rows to be read at a glance: those around what is served are all there.
    """
    points = _some(curve, served)
    most = max(point.throughput_tok_s for point in points) or 1.0
    rows = [
        f"With {curve.max_loras} adapter slots, as adapters are added{end}",
        f"  {'adapters':>8}  {'tokens/s':<37}{words(ttft)}",
    ]
    for point in points:
        bar = _bar(point.throughput_tok_s / most, plain)
        note = "objective missed" if not point.met else "served" if point.adapters == served else ""
        figure = f"{point.throughput_tok_s:,.0f}"
        sign = ">" if point.adapters == served else " "
        rows.append(f"{sign} {point.adapters:>8,}  {bar} {figure:>7}  {_time(point.ttft_ms):>9}  {note}".rstrip())
    return "\n".join(rows)


def _some(curve: Curve, served: int) -> list[Point]:
    """About `ROWS` of the points, evenly apart, with the one that is served or the nearest to it, and the last."""
    points = list(curve.points)
    nearest = min(range(len(points)), key=lambda i: abs(points[i].adapters - served))
    stride = max(-(-len(points) // ROWS), 1)
    return [point for i, point in enumerate(points) if i % stride == nearest % stride or point is points[-1]]


def _bar(share: float, plain: bool) -> str:
    if plain:
        return ("#" * round(share * BAR)).ljust(BAR)
    eighths = round(share * BAR * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(BAR)


def _time(milliseconds: float) -> str:
    return f"{milliseconds:,.0f} ms" if milliseconds < 10_000 else f"{milliseconds / 1e3:,.0f} s"
