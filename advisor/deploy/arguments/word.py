"""Items of argument lists, as a process gets them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from advisor.deploy.deployment import Place, Value
from advisor.deploy.source import Source


@dataclass(frozen=True, slots=True)
class Word:
    """One item of an argument list."""

    source: Source
    """The word as the process gets it; what is not known stands in it as it is written."""
    unknown: str = ""
    """What it depends on, if it is not wholly known: "$SLOTS", "{{ .Values.slots }}"; stands in the text."""
    quote: str = ""
    splits: bool = False
    """Whether blanks separate words where it stands, as in a shell without quotes: then an unknown one may be many."""

    @property
    def text(self) -> str:
        return self.source.text

    @property
    def known(self) -> str:
        """The text up to what is not known."""
        at = self.text.find(self.unknown) if self.unknown else -1
        return self.text if not self.unknown else self.text[: max(at, 0)]

    @property
    def place(self) -> Place:
        return self.source.whole

    def value(self, start: int = 0) -> Value:
        """The word from there on, as a value."""
        place = self.source.part(start, len(self.text)).whole if start else self.place
        if self.unknown:
            return Value(None, place, self.unknown, self.quote)
        return Value(self.text[start:], place, quote=self.quote)


def split(word: Word) -> list[Word]:
    """A word at its blanks, as a variable that holds arguments is read."""
    parts = [replace(word, source=word.source.part(*match.span())) for match in re.finditer(r"\S+", word.text)]
    return [part if part.unknown in part.text else replace(part, unknown="") for part in parts]


def short(text: str) -> str:
    """Text for a message: on one line, and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:77] + "..."
