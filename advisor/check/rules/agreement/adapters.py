"""Adapters in the file that the inventory does not know, or the other way round.

What is expected is of the inventory's adapters. One that the file loads and the inventory does not know has a rank and
traffic that nobody counted; of those that only the inventory knows, the file does not load any: that is right where
they are loaded while the server runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD403", "adapters-not-the-inventorys", Severity.WARNING, __doc__ or "")
NAMED = 3
"""Adapters named before the rest is only counted."""


def check(server: Server) -> Iterator[Finding]:
    """Compare the names."""
    target, listed = server.judged, server.deployment.adapters
    if target is None or not listed:
        return
    known = set(target.inventory.names)
    for adapter in listed:
        if adapter.name in target.elsewhere and adapter.name not in known:
            yield RULE.finding(
                server,
                f"adapter {adapter.name!r} is on {target.elsewhere[adapter.name]} by the placement",
                adapter.place,
                why="its traffic is not counted here",
            )
        elif adapter.name not in known:
            yield RULE.finding(
                server,
                f"adapter {adapter.name!r} is not in the inventory",
                adapter.place,
                why="neither its rank nor its traffic is counted",
            )
    # Those that one GPU cannot serve belong elsewhere.
    missing = set(target.recommendation.admission.admitted) - {adapter.name for adapter in listed}
    if missing and not server.deployment.partial:
        first = ", ".join(sorted(missing)[:NAMED])
        yield RULE.finding(
            server,
            f"{len(missing):,} of the inventory's adapters are not in the file: {first}"
            f"{', ...' if len(missing) > NAMED else ''}",
            listed[0].place,
            why="they have to be loaded while the server runs",
            severity=Severity.REMARK,
        )
