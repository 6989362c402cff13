"""Requests longer than the server takes.

vLLM refuses a request whose prompt and answer exceed max_model_len. The share is that of the lengths in the inventory.

Raise max_model_len, up to the model's own limit.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server
from twin.service_level import STARVED_BELOW

RULE = Rule("AD204", "requests-too-long", Severity.WARNING, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Draw requests of the inventory and count those that do not fit."""
    target, longest = server.judged, server.given("max_model_len")
    if target is None or longest is None:
        return
    if (refused := target.refused_share(int(longest))) is None:
        return
    needed = target.covering_len
    yield RULE.finding(
        server,
        f"{server.says('max_model_len')}: {refused:.1%} of the requests are longer, and vLLM refuses them",
        server.place("max_model_len"),
        why=f"of the inventory's requests 99.9 % fit into {needed:,} tokens",
        fix=server.written(max_model_len=needed) if needed > longest else None,
        severity=Severity.ERROR if 1 - refused < STARVED_BELOW else None,
    )
