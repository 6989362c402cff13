"""Lines of text within the columns of a terminal: what is too long goes on below, further to the right."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

WIDTH = 80
"""Columns where the answer goes to no terminal."""
NARROWEST = 40
"""Columns that lines are made for at least."""
LABEL = 13
"""Columns of what stands before a line."""


def row(label: str, said: str) -> str:
    """What is said, behind a label."""
    return f"{label:<{LABEL - 1}} {said}"


def titled(title: str, lines: Iterable[str], width: int, *, hang: int = LABEL) -> str:
    """Lines below a title, of one that is too long the rest so many columns further; nothing where there are none."""
    told = [wrapped(f"  {line}", width, hang=hang + len(line) - len(line.lstrip())) for line in lines]
    return "\n".join([wrapped(title, width), *told]) if told else ""


def wrapped(line: str, width: int, *, hang: int = 0) -> str:
    """A line within so many columns; a word that is longer by itself stays whole."""
    if len(line) <= width:
        return line
    indent = " " * (hang + 2)
    return textwrap.fill(line, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
