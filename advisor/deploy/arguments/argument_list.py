"""What an argument list says."""

from __future__ import annotations

from dataclasses import dataclass, field

from advisor.deploy.deployment import Adapter, Flag, Place, Problem, Value


@dataclass(slots=True)
class Arguments:
    """What an argument list says."""

    flags: list[Flag] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    adapters: list[Adapter] = field(default_factory=list)
    model: Value | None = None
    open: bool = False
    """Whether it holds words that are not known and may be further flags: nothing is said of what is missing."""

    def problem(self, code: str, message: str, place: Place, replacement: str | None = None) -> None:
        self.problems.append(Problem(code, message, place, replacement))
