"""What a rule finds in a deployment file: what, where, why, and what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from advisor.deploy.deployment import Place


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """The server does not start, loses what the file says, or will starve its requests."""
    WARNING = "warning"
    """It works, and costs memory, time or work for nothing, or is not what it seems."""
    REMARK = "remark"
    """Worth knowing; nothing has to be done."""

    @property
    def level(self) -> int:
        """0 for a remark, 2 for an error."""
        return ("remark", "warning", "error").index(self.value)


@dataclass(frozen=True, slots=True)
class Edit:
    """A stretch of a file's text and what replaces it."""

    start: int
    """Offset in the text, characters."""
    end: int
    """Offset behind the stretch; equal to `start` where the text is inserted."""
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """What to write instead."""

    message: str
    """For people: "write 16"."""
    edits: tuple[Edit, ...] = ()
    """What fixing it writes; empty where only people can know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of one rule."""

    code: str
    """Of the rule, such as AD101."""
    rule: str
    """Its name, such as "rank-above-max-lora-rank"."""
    severity: Severity
    message: str
    """One sentence: what is wrong, with the file's own spelling and value."""
    file: str
    place: Place
    server: str = ""
    """What the file calls the server, or what it was found in."""
    why: str = ""
    """The rule of vLLM or the number behind it."""
    fix: Fix | None = None
    suppressed: str | None = None
    """The reason that the file gives for not minding it."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One file, read and judged."""

    file: str
    """The path as given; "-" for the standard input."""
    text: str
    servers: int
    """vLLM servers found in it."""
    findings: tuple[Finding, ...]
    """In the order of the text."""
    unreadable: str = ""
    """Why it cannot be read, in one line; then it has no findings."""

    @property
    def standing(self) -> list[Finding]:
        """The findings that are not suppressed."""
        return [finding for finding in self.findings if finding.suppressed is None]


def apply(text: str, edits: Sequence[Edit]) -> str:
    """The text with these edits, which do not overlap; of two that do, the first in the text is done."""
    parts, at = [], 0
    for edit in sorted(dict.fromkeys(edits), key=lambda edit: (edit.start, edit.end)):
        if edit.start < at:
            continue
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])
