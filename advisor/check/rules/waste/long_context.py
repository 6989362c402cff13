"""A longest sequence that costs slots though no request is nearly as long.

The server does not start where the KV cache cannot hold one request of max_model_len tokens (the model's own limit
where it is not set). On a card with little memory left, that alone bounds the adapter slots.

Write a max_model_len that covers your requests.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD304", "max-model-len-costs-slots", Severity.WARNING, __doc__ or "")
FAR = 2
"""Times the longest request: less is a margin that one may want."""


def check(server: Server) -> Iterator[Finding]:
    """See whether max_model_len bounds the slots, and a shorter one would not."""
    target, settings = server.comparable, server.numbers()
    if target is None or settings is None or server.lora is not True or server.as_recommended:
        return
    own, rank = target.profile.memory.max_model_len, target.slot_rank
    share, longest = settings.get("gpu_memory_utilization"), int(settings.get("max_model_len", own))
    wanted = max(int(settings["max_loras"]), len(target.served))
    fit = target.most_slots(wanted, rank, longest, share)
    if fit >= (asked := min(wanted, target.wanted_slots)) or longest < FAR * (needed := target.needed_len):
        return
    more, advised = target.most_slots(wanted, rank, needed, share), target.covering_len
    enough = advised <= longest and target.most_slots(wanted, rank, advised, share) >= min(asked, more)
    stands = server.says("max_model_len") if server.given("max_model_len") else f"the model's max_model_len {own:,}"
    yield RULE.finding(
        server,
        f"{stands} leaves room for {fit:,} slots of rank {rank}",
        server.place("max_model_len"),
        why=f"the KV cache must hold one request of that length; your requests fit into {needed:,} tokens, "
        f"which leave room for {more:,} slots",
        fix=server.written(max_model_len=advised if enough else needed),
    )
