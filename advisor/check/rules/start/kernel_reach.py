"""More slots, of too large a rank, than vLLM's LoRA kernels reach.

The kernels count the numbers in the slots of a projection in 32 bits: where slots x rank x its inputs or outputs pass
2^31 they read memory elsewhere, and the server ends by an illegal memory access while it answers. 384 slots of rank 256
beside 28,672 outputs do.

Give it fewer slots, or make them no larger than the largest rank among the adapters needs.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server
from advisor.recommend.server.kernel_reach import largest_side, most_slots
from twin.lora_kernels import REACHED

RULE = Rule("AD109", "slots-beyond-the-kernels", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Count the numbers in the slots of the largest projection, where the model is known to be the inventory's."""
    target, settings = server.judged, server.numbers()
    if target is None or settings is None or not server.same_model or server.lora is not True:
        return
    side = largest_side(target.pair)
    slots, rank = int(settings["max_loras"]), int(settings["max_lora_rank"])
    if side is None or slots <= (most := most_slots(side, rank)):
        return
    needed = target.slot_rank
    enough = rank > needed and slots <= most_slots(side, needed)
    fewer = min(most_slots(side, min(rank, needed)), target.slots)
    ranked = {"max_lora_rank": needed} if rank > needed else {}
    yield RULE.finding(
        server,
        f"{slots:,} slots of rank {rank} are more than vLLM's LoRA kernels reach ({most:,}): the server ends "
        "by an illegal memory access",
        server.place("max_lora_rank" if enough and server.given("max_lora_rank") else "max_loras"),
        why=f"{slots:,} x {rank} x {side:,} inputs or outputs are {slots * rank * side:,} numbers in one projection, "
        f"which they count in 32 bits (below {REACHED:,})",
        fix=server.written(**ranked) if enough else server.written(**ranked, max_loras=fewer),
    )
