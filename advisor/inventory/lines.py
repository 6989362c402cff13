"""Where in a TOML file a key stands: the parser of the standard library does not say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

Location = Sequence[str | int]

# Possessive throughout: no line, whatever it holds, takes more than one pass.
_NAME = r"""(?:[\w-]++|"[^"]*+"|'[^']*+')"""
_HEADER = re.compile(r"\s*+(\[\[?)([^\[\]#,={}]++)\]\]?\s*+(?:#.*)?$")
_KEY = re.compile(rf"\s*+({_NAME}(?:\s*+\.\s*+{_NAME})*+)\s*+=")
_PART = re.compile(_NAME)


def line_of(text: str, location: Location) -> int | None:
    """The line, from 1, of the table or key at `location`, such as ("adapters", 3, "rate"); None if not known.

    Of a key inside an inline table, and of one that is missing, the line of what encloses it.
    """
    if '"""' in text or "'''" in text:
        return None  # what looks like a header may be inside a string
    best, length = None, 0
    for number, path in _paths(text):
        common = _common(path, location)
        # A header or key line belongs to the location when nothing of the line's own path contradicts it.
        if common == len(path) > length:
            best, length = number, common
    return best


def _paths(text: str) -> Iterator[tuple[int, list[str | int]]]:
    table: list[str | int] = []
    counts: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if header := _HEADER.match(line):
            if not (parts := _parts(header[2])):
                continue
            name = ".".join(parts)
            if header[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                table = [*parts, counts[name]]
            elif parts[0] in counts:  # [adapters.input] speaks of the last [[adapters]]
                table = [parts[0], counts[parts[0]], *parts[1:]]
            else:
                table = [*parts]
            yield number, table
        elif key := _KEY.match(line):
            yield number, [*table, *_parts(key[1])]


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]


def _common(path: Location, location: Location) -> int:
    length = 0
    for ours, theirs in zip(path, location, strict=False):
        if ours != theirs:
            break
        length += 1
    return length
