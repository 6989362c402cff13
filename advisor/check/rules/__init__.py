"""The rules: one small module each, with `RULE` and `check`, in rooms by the first digit of their codes."""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding
from advisor.check.rule import Rule
from advisor.check.rules import agreement, doubt, start, starvation, waste
from advisor.check.rules.start import spelling
from advisor.check.server import Server
from advisor.check.spellings import OTHER, PROBLEMS
from advisor.check.suppression import UNREASONED

_JUDGING = (*start.JUDGING, *starvation.JUDGING, *waste.JUDGING, *agreement.JUDGING, *doubt.JUDGING)
RULES: dict[str, Rule] = {
    rule.code: rule
    for rule in sorted(
        (UNREASONED, *(module.RULE for module in _JUDGING), *PROBLEMS.values(), OTHER), key=lambda rule: rule.code
    )
}
"""Every rule, by its code."""


def judge(server: Server) -> Iterator[Finding]:
    """What all rules find in one server."""
    yield from spelling.check(server)
    for module in _JUDGING:
        yield from module.check(server)
