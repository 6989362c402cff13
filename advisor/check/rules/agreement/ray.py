"""Ray Serve's two numbers of adapters do not agree.

lora_config.max_num_adapters_per_replica is how many adapters Ray keeps on a replica, engine_kwargs.max_loras how many
slots vLLM has: 1 where it is not set, whatever Ray's number. With fewer slots than Ray counts on, requests wait for
slots that Ray takes for free; with more, the rest is never used.

Write the same number twice.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD404", "rays-two-numbers", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the two."""
    replica, slots = server.given("max_num_adapters_per_replica"), server.takes("max_loras")
    if replica is None or slots is None or replica == slots:
        return
    fewer = slots < replica
    yield RULE.finding(
        server,
        f"{server.says('max_num_adapters_per_replica')}, but {server.says('max_loras')}",
        server.place("max_loras" if server.deployment.flag("max_loras") else "max_num_adapters_per_replica"),
        why=f"Ray keeps {replica:,} adapters on a replica, vLLM has {slots:,} slot{'' if slots == 1 else 's'}: "
        + ("requests wait for slots that Ray takes for free" if fewer else "the others are never used"),
        fix=server.written(max_loras=int(replica)) if fewer else None,
        severity=Severity.ERROR if fewer else Severity.WARNING,
    )
