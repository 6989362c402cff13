"""A text inside of a file: the places of its characters, also where it is a string in a string of the file.

A shell command stands in a YAML scalar, a manifest in a heredoc: each is read as a text of its own, by the reader of
its kind, and what was found is moved to where it stands in the file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from advisor.deploy.deployment import Adapter, Deployment, Flag, Insertion, Place, Problem, Value


@dataclass(frozen=True, slots=True)
class Source:
    """A text and where in the file each of its characters stands."""

    text: str
    offsets: Sequence[int]
    """One more than characters: where each begins in the file, and where the text ends."""
    lines: Sequence[int]
    """Where the lines of the file begin, as offsets."""
    line_break: str | None = "\n"
    """How a line break is written into the file here, with the indentation behind it; None where none can be."""
    ends: Sequence[int] | None = None
    """Where each character ends, if that is not where the next begins: in `${SLOTS:-32}-x` behind the 2."""
    quote: str = ""
    """What the text is quoted with in the file: it, and a backslash, cannot be inserted as they are."""
    file: str | None = None
    """Of a file that a command of the first one names: that file, as its places say."""

    @classmethod
    def of(cls, text: str) -> Source:
        """A whole file."""
        lines, at = [0], text.find("\n") + 1
        while at:
            lines.append(at)
            at = text.find("\n", at) + 1
        return cls(text, range(len(text) + 1), lines, "\r\n" if "\r\n" in text else "\n")

    def place(self, start: int, end: int) -> Place:
        """Where a stretch of this text stands in the file."""
        first, last = self.offsets[start], self._end(end) if end > start else self.offsets[start]
        line = bisect_right(self.lines, first)
        return Place(line, first - self.lines[line - 1] + 1, first, max(first, last), self.file)

    @property
    def whole(self) -> Place:
        return self.place(0, len(self.text))

    def inner(
        self,
        text: str,
        offsets: Sequence[int],
        line_break: str | None = None,
        quote: str = "",
        ends: Sequence[int] | None = None,
    ) -> Source:
        """A text that is written in this one; offsets and ends are of this text."""
        if not (isinstance(self.offsets, range) and self.offsets.start == 0 and self.ends is None):
            if self.ends is not None or ends is not None:
                ends = [self._end(end) for end in (offsets[1:] if ends is None else ends)]
            offsets = [self.offsets[offset] for offset in offsets]
        if line_break is not None:
            line_break = None if self.line_break is None else self.line_break + line_break[1:]
        return Source(text, offsets, self.lines, line_break, ends, quote or self.quote, self.file)

    def part(self, start: int, end: int) -> Source:
        """A stretch of this text."""
        ends = None if self.ends is None else self.ends[start:end]
        offsets = self.offsets[start : end + 1]
        return Source(self.text[start:end], offsets, self.lines, self.line_break, ends, self.quote, self.file)

    def _end(self, end: int) -> int:
        """Where the stretch of so many characters ends in the file."""
        return self.offsets[end] if self.ends is None or end == 0 else self.ends[end - 1]


def joined(parts: Iterable[Source]) -> Source:
    """One text of several that stand at different places."""
    texts = list(parts)
    offsets, ends = list[int](), list[int]()
    for part in texts:
        size = len(part.text)
        offsets.extend(part.offsets[:size])
        ends.extend(part.offsets[1:] if part.ends is None else part.ends)
    last = texts[-1]
    offsets.append(last.offsets[len(last.text)])
    return Source("".join(part.text for part in texts), offsets, last.lines, None, ends, last.quote, last.file)


def shown(text: str, at: Source) -> Source:
    """A text that stands nowhere in the file, at the place of another: it is computed from that."""
    first, last = at.whole.start, at.whole.end
    return Source(text, [first] * len(text) + [last], at.lines, None, [last] * len(text), at.quote, at.file)


def relocated(deployment: Deployment, source: Source, *, file: str | None = None) -> Deployment:
    """What was found in a text, with the places that it has in the file that the text stands in."""

    def place(old: Place) -> Place:
        return old if old.file else source.place(old.start, old.end)

    def value(old: Value) -> Value:
        return replace(old, place=place(old.place))

    def maybe(old: Value | None) -> Value | None:
        return old and value(old)

    def flag(old: Flag) -> Flag:
        return replace(old, value=maybe(old.value), place=place(old.place))

    def problem(old: Problem) -> Problem:
        kept = old.replacement if old.replacement is not None and written(old.replacement, source) else None
        return replace(old, place=place(old.place), replacement=kept)

    def adapter(old: Adapter) -> Adapter:
        return replace(old, place=place(old.place))

    def insertion(old: Insertion) -> Insertion | None:
        template = written(old.template, source)
        return None if template is None else replace(old, place=place(old.place), template=template)

    return replace(
        deployment,
        file=file or deployment.file,
        place=place(deployment.place),
        flags=tuple(map(flag, deployment.flags)),
        environment={name: value(old) for name, old in deployment.environment.items()},
        model=maybe(deployment.model),
        image=maybe(deployment.image),
        gpu=maybe(deployment.gpu),
        loader=maybe(deployment.loader),
        adapters=tuple(map(adapter, deployment.adapters)),
        problems=tuple(map(problem, deployment.problems)),
        insertion=deployment.insertion and insertion(deployment.insertion),
    )


def written(text: str, source: Source) -> str | None:
    """How a text is inserted into the file where another stands that is itself quoted; None where that is not sure."""
    if "\n" in text:
        if source.line_break is None:
            return None
        text = text.replace("\n", source.line_break)
    if source.quote and any(each in text for each in (source.quote, "\\")):
        return None
    return text
