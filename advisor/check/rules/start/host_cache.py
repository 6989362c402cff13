"""Fewer adapters in host memory than slots on the GPU.

--max-cpu-loras, the adapters that are held in host memory, must not be below --max-loras, the slots on the GPU: the
server does not start. Where it is not set, it is as large as --max-loras.

Give it the number of adapters that are served, so that each is read from disk once.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD103", "max-cpu-loras-below-max-loras", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the two."""
    in_host, slots = server.given("max_cpu_loras"), server.takes("max_loras")
    if in_host is None or slots is None or in_host >= slots:
        return
    target = server.judged
    if target is None:
        right = {"max_cpu_loras": int(slots)}
    elif slots <= target.host_slots:
        right = {"max_cpu_loras": target.host_slots}
    else:
        right = {"max_loras": target.slots, "max_cpu_loras": target.host_slots}
    yield RULE.finding(
        server,
        f"{server.says('max_cpu_loras')} below {server.says('max_loras')}: vLLM does not start",
        server.place("max_cpu_loras"),
        why="the host's cache of adapters must hold at least those in the GPU's slots",
        fix=server.written(**right),
    )
