"""More slots than there are adapters.

A slot that no adapter can ever fill takes memory from the KV cache and lengthens every step all the same.

Write the recommended number, or at most the number of adapters.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD302", "more-slots-than-adapters", Severity.WARNING, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the slots with the inventory."""
    target, slots = server.judged, server.given("max_loras")
    if target is None or slots is None or server.lora is False or slots <= len(target.served):
        return
    adapters = len(target.served)
    whose = "of the inventory" if adapters == len(target.inventory) else f"that one {target.pair.basis.unit} serves"
    yield RULE.finding(
        server,
        f"{server.says('max_loras')}: more slots than the {adapters:,} adapters {whose}",
        server.place("max_loras"),
        why=f"{slots - adapters:,} slots are never used, and each takes memory and time",
        fix=server.written(max_loras=target.slots),
    )
