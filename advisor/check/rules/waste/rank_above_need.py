"""Slots for a larger rank than any adapter has.

Every slot is reserved at max_lora_rank, whatever the adapters' own ranks: the memory is taken from the KV cache, and
steps become longer (measured: rank 32 instead of 16 lengthens the time between tokens by 2 to 17 %).

Write the smallest value that takes the largest rank among the adapters.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server
from twin.settings import LORA_RANKS

RULE = Rule("AD301", "max-lora-rank-above-need", Severity.WARNING, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the rank that is written with the one that is needed."""
    target, rank, slots = server.judged, server.given("max_lora_rank"), server.takes("max_loras")
    if target is None or rank not in LORA_RANKS or server.lora is False:
        return
    needed = target.slot_rank
    if rank <= needed:
        return
    everyone, unit = target.served is target.inventory, target.pair.basis.unit
    takes = "every adapter" if everyone else f"every adapter that one {unit} serves"
    whose = "in the inventory" if everyone else f"of those that one {unit} serves"
    why = f"the largest rank {whose} is {target.largest_rank}"
    if server.comparable and slots is not None:
        share = server.given("gpu_memory_utilization")
        left, kept = (target.kv_tokens(int(slots), int(each), share) for each in (rank, needed))
        memory = target.profile.memory
        per_slot = memory.kv_tokens_per_slot_rank * needed + memory.kv_tokens_per_slot
        why += f"; it takes {kept - left:,} of the KV cache's {max(kept, 0):,} tokens"
        if per_slot and kept > left:
            why += f", as much as {(kept - left) / per_slot:,.0f} more slots of rank {needed}"
    yield RULE.finding(
        server,
        f"{server.says('max_lora_rank')} is above need: {needed} takes {takes}",
        server.place("max_lora_rank"),
        why=why,
        fix=server.written(max_lora_rank=needed),
    )
