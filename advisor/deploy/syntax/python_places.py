"""Where a node of Python's syntax tree stands in its text."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from itertools import accumulate

from advisor.deploy.deployment import Place
from advisor.deploy.source import Source

_LINE = re.compile(r"\r\n|\r|\n")


class Places:
    """Of one text."""

    def __init__(self, source: Source) -> None:
        self.source, self.text = source, source.text
        self.starts = [0, *(match.end() for match in _LINE.finditer(self.text))]
        self.ascii = self.text.isascii()
        self.columns: dict[int, Sequence[int]] = {}

    def offset(self, line: int, column: int) -> int:
        start = self.starts[min(line, len(self.starts)) - 1]
        end = self.starts[line] if line < len(self.starts) else len(self.text)
        if not self.ascii:
            table = self._characters(start, end)
            column = table[min(column, len(table) - 1)]
        return min(start + column, end)

    def _characters(self, start: int, end: int) -> Sequence[int]:
        """Characters before each byte of a line, which Python counts columns in."""
        if start not in self.columns:
            line = self.text[start:end].encode()
            self.columns[start] = [0, *accumulate(int(byte & 0xC0 != 0x80) for byte in line)]
        return self.columns[start]

    def span(self, node: ast.expr | ast.keyword) -> tuple[int, int]:
        start = self.offset(node.lineno, node.col_offset)
        return start, max(start, self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0))

    def place(self, node: ast.expr | ast.keyword) -> Place:
        return self.source.place(*self.span(node))

    def segment(self, node: ast.expr) -> Source:
        return self.source.part(*self.span(node))


def dotted(node: ast.expr) -> str | None:
    """The name of a variable or of an attribute of one: self.args."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join((node.id, *reversed(parts))) if isinstance(node, ast.Name) else None
