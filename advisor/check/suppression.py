"""Findings that a file asks not to be told of, each with a reason.

A comment `# advisor: ignore[AD101] reason`, behind the line of the finding, on a line of its own above it, or above the
server that it is about; `//` and `<!--` begin comments as well. In manifests also an annotation of Kubernetes,
`advisor.dev/ignore-AD101: reason`, for the whole document. Rules go by code, beginning of codes (AD3) or name.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.deploy.deployment import Place

UNREASONED = Rule(
    "AD001",
    "ignored-without-reason",
    Severity.WARNING,
    """A finding is to be ignored, and no reason is given.

    It is told all the same: whoever reads the file later must know why it is right.

    Write the reason behind the brackets: # advisor: ignore[AD101] only rank 8 is loaded here""",
)
_COMMENT = re.compile(r"(?:#|//|<!--)\s*advisor:\s*ignore\[([^\]\n]*)\]([^\n]*)", re.IGNORECASE)
_ANNOTATION = re.compile(
    r"""["']?advisor\.dev/ignore-([A-Za-z0-9-]+)["']?[ \t]*[:=][ \t]*("[^"\n]*"|'[^'\n]*'|[^,}\n]*)"""
)
_DOCUMENT = re.compile(r"^---(?:\s|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Suppression:
    """What a comment or an annotation asks for."""

    rules: tuple[str, ...]
    """Codes, beginnings of codes, or names."""
    reason: str
    place: Place
    first: int
    """First line that it covers; findings about a server that begins there are covered, too."""
    last: int
    document: bool = False
    """Whether it is an annotation, which covers the whole document that it stands in."""


def covers(selectors: Iterable[str], code: str, name: str) -> bool:
    """Whether one of the selectors means this rule."""
    return any(each.lower() == name or (each and code.startswith(each.upper())) for each in selectors)


def suppressions(text: str) -> Iterator[Suppression]:
    """Those in a text, in order."""
    if "advisor" not in text.lower():
        return
    lines = [0, *(found.end() for found in re.finditer("\n", text))]
    following = _following(text, lines)
    for found in _COMMENT.finditer(text):
        place = _place(lines, found.start(), found.end())
        alone = not text[lines[place.line - 1] : found.start()].strip()
        last = following[place.line - 1] if alone else place.line
        reason = found[2].strip().removesuffix("-->").strip(" \t\r:-")
        yield Suppression(_selectors(found[1]), reason, place, place.line, last)
    documents = [0, *(found.start() for found in _DOCUMENT.finditer(text)), len(text)]
    for found in _ANNOTATION.finditer(text):
        index = bisect_right(documents, found.start(), hi=len(documents) - 1)
        first, last = (_place(lines, at, at).line for at in (documents[index - 1], documents[index]))
        reason = found[2].strip("\"' \t\r")
        yield Suppression((found[1],), reason, _place(lines, found.start(), found.end()), first, last, document=True)


class Wishes:
    """The suppressions of a text by where they hold: a file may have one for each of thousands of lines."""

    def __init__(self, wishes: Iterable[Suppression]) -> None:
        self._lines: dict[int, list[Suppression]] = {}
        """Comments, by the lines that they stand in and speak of: between the two are comments alone."""
        self._documents: dict[int, dict[tuple[str, ...], Suppression]] = {}
        """Annotations, by the first line of their document."""
        for wish in wishes:
            if wish.reason and wish.document:
                self._documents.setdefault(wish.first, {}).setdefault(wish.rules, wish)
            elif wish.reason:
                for line in {wish.first, wish.last}:
                    self._lines.setdefault(line, []).append(wish)
        self._firsts = sorted(self._documents)

    def suppressed(self, finding: Finding, server: int) -> Finding:
        """The finding, marked with the reason where it is to be ignored; its server begins in line `server`."""
        for line in (server,) if finding.place.file else (finding.place.line, server):
            for wish in self._at(line):
                if covers(wish.rules, finding.code, finding.rule):
                    return replace(finding, suppressed=wish.reason)
        return finding

    def _at(self, line: int) -> Iterator[Suppression]:
        yield from self._lines.get(line, ())
        index = bisect_right(self._firsts, line)
        for wish in self._documents[self._firsts[index - 1]].values() if index else ():
            if line <= wish.last:
                yield wish


def unreasoned(wishes: Iterable[Suppression], file: str) -> Iterator[Finding]:
    """A finding for each wish without a reason."""
    for wish in wishes:
        if not wish.reason:
            message = f"{', '.join(wish.rules) or 'nothing'} ignored without a reason"
            yield Finding(UNREASONED.code, UNREASONED.name, UNREASONED.severity, message, file, wish.place)


def _selectors(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def _place(lines: list[int], start: int, end: int) -> Place:
    line = bisect_right(lines, start)
    return Place(line, start - lines[line - 1] + 1, start, end)


def _following(text: str, lines: list[int]) -> list[int]:
    """Of each line, by its number less one, the first behind it that is more than a comment; the last has itself."""
    found, following = list[int](), len(lines)
    for number in range(len(lines), 0, -1):
        found.append(following)
        words = text[lines[number - 1] : lines[number] if number < len(lines) else None].strip()
        if words and not words.startswith(("#", "//", "<!--")):
            following = number
    return found[::-1]
