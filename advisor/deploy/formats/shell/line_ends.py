"""Commands that end before their lines do, where a backslash or its line break is missing."""

from __future__ import annotations

import re

from advisor.deploy.deployment import Deployment, Problem
from advisor.deploy.source import Source

_ESCAPED_BLANK = re.compile(r"[ \t]*(\\[ \t])")


def broken(source: Source, end: int) -> Problem | None:
    """A backslash behind a command that escapes a blank rather than the end of the line."""
    escaped = _ESCAPED_BLANK.match(source.text, end)
    if escaped is None:
        return None
    line_end = source.text.find("\n", end)
    rest = source.text[end : line_end if line_end >= 0 else len(source.text)]
    following = source.text[line_end + 1 :].lstrip() if line_end >= 0 else ""
    lost = following.split(None, 1)[0] if following.startswith("-") else ""
    what = f"{lost} and all after it never reach vLLM, and " if lost else ""
    at = escaped.start(1)
    comment = "#" in rest
    return Problem(
        "comment-after-backslash",
        f"the backslash escapes a blank, so the command ends here: {what}the escaped blank is an extra argument "
        "(vLLM does not start)",
        source.place(at, end + (rest.find("#") if comment else len(rest))),
        None if comment else "\\",
    )


def goes_on(source: Source, span: tuple[int, int], server: Deployment) -> Problem | None:
    """Flags that stand where a command does, behind a server: the line before has no backslash, or a comment."""
    start, end = span
    before = source.text[:start].rstrip(" \t")
    if not before.endswith("\n") or any(problem.code == "comment-after-backslash" for problem in server.problems):
        return None
    here = source.place(start, end)
    if server.place.end > here.start:
        return None
    between = source.text[server.place.end - source.place(0, 0).start : start]
    if not re.fullmatch(r"(?:\s|\\|#[^\n]*\n)*", between):
        return None
    return Problem(
        "comment-after-backslash",
        f"the command ends before this line: {source.text[start:end].split()[0]} and all after it never reach vLLM",
        here,
    )
