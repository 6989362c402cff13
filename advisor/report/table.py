"""Tables for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

UNBOUNDED = 1_000
"""Columns of text where no terminal sets a limit."""


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as a table without colours: numbers to the right, what is missing as a dash."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    cells = [[row.get(column) for column in columns] for row in rows]
    for i, column in enumerate(columns):
        numeric = all(isinstance(row[i], (int, float)) or row[i] is None for row in cells)
        grid.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        grid.add_row(*(Text(_shown(value)) for value in row))
    target = StringIO()
    # Without a terminal, rich would squeeze everything into 80 columns.
    width = None if sys.stdout.isatty() else UNBOUNDED
    Console(file=target, width=width, color_system=None).print(grid)
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines() if line.strip())


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
            text = str(value)
            return text if text.isprintable() else repr(text)
