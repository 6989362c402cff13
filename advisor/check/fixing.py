"""What is fixed: the edits that rules are sure of, and nothing else of the file changes by a byte.

The result is read and checked again before anybody sees it: it holds every server that it held before, and no finding
of error or warning that was not there.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from advisor.check.check import Checker
from advisor.check.finding import Checked, Edit, Finding, Severity, apply

ROUNDS = 4
"""A fix may bring up what another rule has to say; more rounds than there are kinds of settings would be a circle."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A file and what became of it."""

    before: Checked
    after: Checked
    """The same as before where nothing was fixed."""

    @property
    def withheld(self) -> list[str]:
        """Codes of findings that are sure of a change that was not made: it would have brought up something worse."""
        return list(dict.fromkeys(each.code for each in self.after.standing if sure([each])))

    @property
    def changed(self) -> bool:
        """Whether anything was."""
        return self.before.text != self.after.text

    def diff(self) -> str:
        """The change as a unified diff; empty where there is none."""
        name = self.before.file
        before, after = (each.text.splitlines(keepends=True) for each in (self.before, self.after))
        lines = difflib.unified_diff(before, after, f"a/{name.lstrip('/')}", f"b/{name.lstrip('/')}")
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def fix(checked: Checked, checker: Checker) -> Fixed:
    """Make the changes that the findings of a file are sure of, round after round until none is left.

    What a change brings up, such as slots that no longer fit once they are as large as an adapter needs, may be mended
    by the next: that counts together, and only where it does not come out right is each change judged by itself.
    """
    if _better(checked, whole := _all(checked, checker)):
        return Fixed(checked, whole)
    now = checked
    for _ in range(ROUNDS):
        edits = sure(now.standing)
        after = _with(now, edits, checker)
        if after is None:  # one of them is not as sure as it seemed: each by itself, then
            alone = (_with(now, sure([finding]), checker) for finding in now.standing if sure([finding]))
            after = next((each for each in alone if each is not None), None)
        if after is None:
            break
        now = after
    return Fixed(checked, now)


def sure(findings: Iterable[Finding]) -> list[Edit]:
    """The edits of the findings that are worth a change, each finding's together or not at all."""
    edits: list[Edit] = []
    for finding in sorted(findings, key=lambda each: -each.severity.level):
        own = finding.fix.edits if finding.fix and finding.severity is not Severity.REMARK else ()
        if all(edit in edits or not any(_overlap(edit, other) for other in edits) for edit in own):
            edits += [edit for edit in own if edit not in edits]
    return edits


def _overlap(one: Edit, other: Edit) -> bool:
    return one.start == other.start or (one.start < other.end and other.start < one.end)


def _all(checked: Checked, checker: Checker) -> Checked:
    """The file with all changes, and those that they call for."""
    now = checked
    for _ in range(ROUNDS):
        after = _edited(now, sure(now.standing), checker)
        if after is None:
            break
        now = after
    return now


def _with(now: Checked, edits: list[Edit], checker: Checker) -> Checked | None:
    """The file with these edits, checked; None where it would not be better."""
    after = _edited(now, edits, checker)
    return after if after is not None and _better(now, after) else None


def _edited(now: Checked, edits: list[Edit], checker: Checker) -> Checked | None:
    """The file with these edits, checked; None where they change nothing, or a server is no longer read."""
    text = apply(now.text, edits)
    if text == now.text:
        return None
    after = checker.check_text(now.file, text)
    return None if after.unreadable or after.servers != now.servers else after


def _better(before: Checked, after: Checked) -> bool:
    """Whether less is wrong, and nothing that was not wrong before."""
    had, has = (_bad(each) for each in (before, after))
    return all(has[code] <= had[code] for code in has) and sum(has.values()) < sum(had.values())


def _bad(checked: Checked) -> Counter[str]:
    return Counter(each.code for each in checked.standing if each.severity is not Severity.REMARK)
