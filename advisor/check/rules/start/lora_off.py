"""LoRA is not enabled where adapters are to be served.

Without --enable-lora vLLM takes --max-loras and the others, and minds none of them: requests for adapters are answered
with an error.

Add --enable-lora (in a --config file: enable-lora: true).
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Fix, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD105", "lora-not-enabled", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """See whether LoRA is off though the file speaks of adapters, or the inventory has some for this very model."""
    if server.lora is not False:
        return
    switch = server.deployment.flag("enable_lora")
    if server.about_lora:
        first = server.about_lora[0]
        yield RULE.finding(
            server,
            f"LoRA is not enabled: {first.spelled} has no effect",
            switch.place if switch else first.place,
            why="vLLM minds no LoRA setting without --enable-lora, and serves no adapter",
            fix=Fix("add --enable-lora"),
        )
    elif server.deployment.adapters or server.same_model:
        count = len(server.deployment.adapters) or (len(server.target.inventory) if server.target else 0)
        yield RULE.finding(
            server,
            f"LoRA is not enabled: {count:,} adapter{'' if count == 1 else 's'} cannot be served",
            switch.place if switch else server.deployment.place,
            why="vLLM serves adapters only with --enable-lora",
            fix=Fix("add --enable-lora"),
        )
