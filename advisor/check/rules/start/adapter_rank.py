"""An adapter whose rank is above the rank that slots are made for.

vLLM makes every slot for adapters of --max-lora-rank (16 where it is not set) and refuses to load one of a higher rank:
a server that loads it at start does not start, one that loads it later answers with an error.

Give --max-lora-rank the next value that vLLM has slots for: 1, 8, 16, 32, 64, 128, 256, 320 or 512.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Fix, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server
from advisor.check.target import Target

RULE = Rule("AD101", "adapter-rank-above-max-lora-rank", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the largest rank of the adapters that the server is for with that of the slots."""
    target, slots_of = server.judged, server.takes("max_lora_rank")
    if target is None or slots_of is None or server.lora is False:
        return
    if target.largest_rank <= slots_of:
        yield from _loaded_all_the_same(server, target, slots_of)
        return
    ranks = target.served.workload.rank
    refused = int((ranks > slots_of).sum())
    count = f"{len(ranks):,} adapters"
    serving = f"that one {target.pair.basis.unit} serves"
    whom = f"the inventory's {count}" if target.served is target.inventory else f"the {count} {serving}"
    yield RULE.finding(
        server,
        f"adapter rank {target.largest_rank} above {server.says('max_lora_rank')}",
        server.place("max_lora_rank"),
        why=f"vLLM refuses {refused:,} of {whom}: their rank is above max_lora_rank",
        fix=server.written(max_lora_rank=target.slot_rank),
    )


def _loaded_all_the_same(server: Server, target: Target, slots_of: float) -> Iterator[Finding]:
    """Adapters in the file that one GPU does not serve beside the others, and that its slots are too small for."""
    unit = target.pair.basis.unit
    rank = dict(zip(target.inventory.names, target.inventory.workload.rank.tolist(), strict=True))
    for adapter in server.deployment.adapters:
        if rank.get(adapter.name, 0) > slots_of:
            yield RULE.finding(
                server,
                f"adapter {adapter.name!r} has rank {rank[adapter.name]:.0f}, above {server.says('max_lora_rank')}",
                adapter.place,
                why=f"it is not among those that one {unit} serves, which slots of that rank are enough for",
                fix=Fix("serve it elsewhere"),
            )
