"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from advisor.names import printable

FOLDED = 16
"""Text is folded to this many columns at least: it stays readable in two or three lines."""
BESIDE = 0.6
"""Of the columns of text, the share up to which the name of a row stands beside its figures."""
_ALONE = "\ue000"
"""Stands in a cell for a name that has a line of its own; it is not printable, so that no name has it."""
GAP = 3
"""Columns of text between two columns of the table."""


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], width: int | None = None) -> str:
    """Rows as a table without colours: numbers to the right, what is missing as a dash.

    Where `width` columns of text are too few, text is folded, and the table goes on below with further columns beside
    the first one; where they are too few for that, every row becomes a block of lines. A number is never broken, and
    what stands in the first column neither, for it names the row and may be a file: a long one has a line of its own.
    """
    given = [[row.get(column) for column in columns] for row in rows]
    cells = [[_shown(value) for value in row] for row in given]
    numeric = [all(isinstance(row[i], (int, float)) or row[i] is None for row in given) for i in range(len(columns))]
    widths = [max(map(cell_len, [column, *(row[i] for row in cells)])) for i, column in enumerate(columns)]
    least = [wide if number else min(wide, FOLDED) for wide, number in zip(widths, numeric, strict=True)]
    alone = width is not None and not numeric[0] and widths[0] > BESIDE * width
    least[0] = cell_len(columns[0]) if alone else widths[0]
    if width is not None and least[0] + GAP + max(least[1:], default=0) > width:
        return "\n\n".join("\n".join(_block(columns, row)) for row in cells)
    lines = list[str]()
    for part in parts(least, width):
        grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for i in part:
            whole = numeric[i] or i == 0
            grid.add_column(columns[i], justify="right" if numeric[i] else "left", no_wrap=whole, overflow="fold")
        for row in cells:
            grid.add_row(*(Text(_ALONE if alone and i == 0 else row[i]) for i in part))
        target = StringIO()
        enough = sum(widths[i] for i in part) + GAP * len(part)
        Console(file=target, width=width or enough, color_system=None).print(grid)
        names = iter(cells)
        for line in filter(str.strip, target.getvalue().splitlines()):
            if line.startswith(_ALONE):
                lines.append(next(names)[0])
            lines.append(line.replace(_ALONE, " ").rstrip())
    return "\n".join(lines)


def parts(widths: Sequence[int], width: int | None, gap: int = GAP) -> Iterator[list[int]]:
    """Columns side by side that fit, so far apart, the first one in every part."""
    part = [0]
    for i, wide in enumerate(widths[1:], start=1):
        if width is not None and sum(widths[j] + gap for j in part) + wide > width:
            yield part
            part = [0]
        part.append(i)
    yield part


def _block(columns: Sequence[str], row: Sequence[str]) -> Iterator[str]:
    name_width = max(map(len, columns))
    return (f"{column:<{name_width}}  {value}" for column, value in zip(columns, row, strict=True))


def _shown(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.1f}"
        case int():
            return f"{value:,}"
        case _:
            return printable(str(value))
