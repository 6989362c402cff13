"""Several adapters, and the number of slots is not said.

vLLM's default is 1 slot: requests for any second adapter wait until the first has nothing to do. KServe passes on only
the keys that are set (lora.maxAdapters, maxRank, maxCpuAdapters), although its documentation speaks of the number of
adapters as the default.

Write --max-loras (maxAdapters).
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Fix, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD405", "slots-not-set", Severity.WARNING, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """See whether several adapters are left to the default; with an inventory, what is expected decides instead."""
    slots, adapters = server.takes("max_loras"), len(server.deployment.adapters)
    if server.comparable or server.lora is not True or server.deployment.flag("max_loras") or slots is None:
        return
    if adapters > slots:
        yield RULE.finding(
            server,
            f"max_loras is not set: vLLM takes {slots} slot for {adapters:,} adapters",
            server.place("max_loras"),
            why="a request waits while another adapter holds the slot",
            fix=Fix("as many slots as adapters are asked at the same time: advisor recommend says how many"),
        )
