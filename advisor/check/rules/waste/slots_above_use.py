"""Far more slots than are in use at the same time.

Slots cost KV cache and lengthen every step, in use or not. Where there are at least twice as many as recommended, fewer
would do; nothing has to be changed as long as the expectation is good.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Fix, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD303", "slots-far-above-use", Severity.REMARK, __doc__ or "")
FAR = 2
"""Times the recommended slots: less than that is a matter of taste."""


def check(server: Server) -> Iterator[Finding]:
    """Compare the slots with those that are recommended."""
    target, settings = server.comparable, server.numbers()
    if target is None or settings is None or server.lora is not True or server.given("max_loras") is None:
        return
    advice, slots = target.recommendation, int(settings["max_loras"])
    if advice.settings is None or advice.expected is None or slots > len(target.served):
        return
    better, rank = advice.settings.max_loras, int(settings["max_lora_rank"])
    if slots < FAR * better:
        return
    share = settings.get("gpu_memory_utilization")
    taken = target.kv_tokens(better, rank, share) - target.kv_tokens(slots, rank, share)
    yield RULE.finding(
        server,
        f"{server.says('max_loras')}: {better:,} slots are recommended",
        server.place("max_loras"),
        why=f"the others take {taken:,} tokens of the KV cache",
        fix=Fix(f"max_loras {better}"),
    )
