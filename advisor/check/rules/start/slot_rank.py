"""A rank that vLLM has no slots for.

--max-lora-rank is one of 1, 8, 16, 32, 64, 128, 256, 320 and 512; with any other value the server does not start.

Write the next of these that is not below the largest rank among the adapters.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server
from twin.settings import LORA_RANKS, slot_rank

RULE = Rule("AD102", "no-slots-of-this-rank", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """See whether vLLM has slots of the rank that is asked for."""
    rank = server.given("max_lora_rank")
    if rank is None or not server.no_such_rank:
        return
    target = server.judged
    right = slot_rank(min(max(rank, 1), LORA_RANKS[-1])) if target is None else target.slot_rank
    yield RULE.finding(
        server,
        f"{server.says('max_lora_rank')}: vLLM has no slots of this rank and does not start",
        server.place("max_lora_rank"),
        why=f"max_lora_rank is one of {', '.join(map(str, LORA_RANKS))}",
        fix=server.written(max_lora_rank=right),
    )
