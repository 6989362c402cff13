"""A TOML document with what messages about it need: where it came from and in which line a key stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tomli

from advisor.errors import InputError
from advisor.inventory.lines import Location, line_of

MAX_NAMES = 32
"""Names that dots may join; of the keys there are, none has more than three."""
_NAME = r"""(?:(?<![\w-])[\w-]++|"(?:[^"\\\n]|\\.){0,64}+"|'[^'\n]{0,64}+')"""
# The time to parse a key of many names grows with the square of their number; longer names than these leave no room for
# as many.
_MANY_DOTS = re.compile(rf"^(?:[^.\n]*+\.){{{MAX_NAMES}}}", re.MULTILINE)  # cheap; few files have such a line
_DEEP = re.compile(rf"(?:{_NAME}[ \t]*+\.[ \t]*+){{{MAX_NAMES}}}")


@dataclass(frozen=True, slots=True)
class Document:
    """A TOML file that was read."""

    data: Mapping[str, Any]
    """What it holds."""
    text: str
    where: str
    """Opens every message about it: the path of the file."""

    def message(self, sentence: str, location: Location, tables: Location) -> str:
        """A sentence about what is at a location, opened by the file, the line if known, and the enclosing tables."""
        line = line_of(self.text, location)
        return f"{self.where}{f':{line}' if line else ''}: {self._named(tables)}{sentence}"

    def _named(self, tables: Location) -> str:
        """The tables in the reader's terms: an entry of a list by its name where it has one."""
        parts: list[str] = []
        table: Any = self.data
        for part in tables:
            table = table[part]
            if isinstance(part, str):
                parts.append(part)
            else:
                named = isinstance(table, Mapping) and isinstance(table.get("name"), str)
                parts[-1] = f"{parts[-1]} entry {part + 1}" + (f" ({shown(table['name'])})" if named else "")
        return ": ".join((*parts, ""))


def parse(text: str, where: str) -> Document:
    """The document that a text is.

    Raises:
        InputError: it is not TOML, or nested beyond all use.
    """
    if _MANY_DOTS.search(text) and (deep := _DEEP.search(text)):
        line = text.count("\n", 0, deep.start()) + 1
        raise InputError(f"{where}:{line}: more than {MAX_NAMES} names joined by dots; no key has more than 3")
    try:
        return Document(tomli.loads(text), text, where)
    except tomli.TOMLDecodeError as error:
        raise InputError(f"{where}: not valid TOML: {error}") from error
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, brackets nested as deep
        raise InputError(f"{where}: not readable as TOML: {error}") from error


def shown(value: object) -> str:
    """A value in short, as a message quotes it."""
    match value:
        case dict():
            return "a table"
        case list():
            return f"a list of {len(value)}"
        case bool():
            return str(value).lower()
        case _:
            text = repr(value) if isinstance(value, str) else str(value)
            return text if len(text) <= 60 else f"{text[:57]}..."
