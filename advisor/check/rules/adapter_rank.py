"""An adapter whose rank is above the rank that slots are made for.

vLLM makes every slot for adapters of --max-lora-rank (16 where it is not set) and refuses to load one of a higher rank:
a server that loads it at start does not start, one that loads it later answers with an error.

Give --max-lora-rank the next value that vLLM has slots for: 1, 8, 16, 32, 64, 128, 256, 320 or 512.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server

RULE = Rule("AD101", "adapter-rank-above-max-lora-rank", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the inventory's largest rank with that of the slots."""
    target, slots_of = server.judged, server.takes("max_lora_rank")
    if target is None or slots_of is None or server.lora is False or target.largest_rank <= slots_of:
        return
    ranks = target.inventory.workload.rank
    refused = int((ranks > slots_of).sum())
    yield RULE.finding(
        server,
        f"adapter rank {target.largest_rank} above {server.says('max_lora_rank')}",
        server.place("max_lora_rank"),
        why=f"vLLM refuses {refused:,} of the inventory's {len(ranks):,} adapters: their rank is above max_lora_rank",
        fix=server.written(max_lora_rank=target.slot_rank),
    )
