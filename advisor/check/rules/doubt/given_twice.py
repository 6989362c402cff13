"""A setting that is given twice with different values.

vLLM takes the last. Where a chart or an operator writes flags of its own before the container's arguments, as KServe
does, the container's win.

Keep one of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import SETTINGS, Server

RULE = Rule("AD502", "given-twice", Severity.REMARK, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Tell every value that has no effect because another comes later."""
    for name in SETTINGS:
        given = [flag for flag in server.deployment.flags if flag.name == name]
        for flag in given[:-1]:
            last = given[-1]
            if flag.value and last.value and flag.value.text != last.value.text:
                yield RULE.finding(
                    server,
                    f"{flag.spelled} {flag.value.text} has no effect: {last.spelled} {last.value.text} comes later",
                    flag.place,
                    why="of a flag that is given twice the last counts",
                )
