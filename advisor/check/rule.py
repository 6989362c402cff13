"""What every rule has: a code for machines, a name for people, a severity, and a page that explains it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from advisor.check.finding import Finding, Fix, Severity
from advisor.deploy.deployment import Place

if TYPE_CHECKING:
    from advisor.check.server import Server


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, and what all of its findings have in common."""

    code: str
    """Stable: AD and three digits, of which the first is the kind (1 does not start, 2 will starve, 3 wastes,
    4 inconsistent, 5 unknown)."""
    name: str
    severity: Severity
    """Of its findings, but for those that say otherwise."""
    explanation: str
    """A page: what it finds, why that is bad, what to do."""

    @property
    def title(self) -> str:
        """The first line of the explanation."""
        return self.explanation.strip().partition("\n")[0]

    @property
    def reason(self) -> str:
        """The second paragraph of the explanation, in one line: why it is bad."""
        return " ".join(self.explanation.split("\n\n")[1].split())

    def finding(
        self,
        server: Server,
        message: str,
        place: Place,
        *,
        why: str = "",
        fix: Fix | None = None,
        severity: Severity | None = None,
    ) -> Finding:
        """A finding of this rule about a server."""
        return Finding(
            self.code,
            self.name,
            severity or self.severity,
            message,
            place.file or server.deployment.file,
            place,
            server.title,
            why,
            fix,
        )


Check = Callable[["Server"], Iterator[Finding]]
"""Finds all that one rule finds in one server."""
