"""Slots that leave no room for a KV cache that the server could start with.

vLLM reserves max_loras slots of max_lora_rank before it sizes the KV cache, whatever the adapters' own ranks, and does
not start where the cache cannot hold one request of max_model_len tokens (the model's own limit where it is not set).
The tokens are those of the pair's profile, measured in steps of slots and ranks. Of a model with windows of attention
that nobody measured, only slots are found that alone do not fit: its windows are not counted, and the cache holds more.

Make slots smaller (the largest rank among the adapters is enough), fewer, or max_model_len shorter.
"""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding, Fix, Severity
from advisor.check.rule import Rule
from advisor.check.server import Server
from advisor.check.target import Settings, Target
from advisor.derive.llm.windows import are_left_out

RULE = Rule("AD104", "slots-do-not-fit", Severity.ERROR, __doc__ or "")


def check(server: Server) -> Iterator[Finding]:
    """Compare the KV cache that the slots leave with the longest request."""
    target, settings = server.comparable, server.numbers()
    if target is None or settings is None or server.lora is not True:
        return
    slots, rank = int(settings["max_loras"]), int(settings["max_lora_rank"])
    share = settings.get("gpu_memory_utilization")
    left, longest = target.kv_tokens(slots, rank, share), _longest(server, target)
    if longest is None or left >= (0 if are_left_out(target.profile) else longest):
        return
    needed = target.slot_rank
    name = "max_lora_rank" if rank > needed and server.given("max_lora_rank") else "max_loras"
    holds = f"leave a KV cache of about {left:,} tokens" if left > 0 else "alone do not fit into the GPU's memory"
    yield RULE.finding(
        server,
        f"{slots:,} slots of rank {rank} {holds}: less than one request of max_model_len {longest:,}, "
        "the server does not start",
        server.place(name),
        why=f"{server.says('max_loras')} and {server.says('max_lora_rank')}; on {target.pair.gpu} every slot "
        f"takes {_per_slot(target, rank):,} tokens of the KV cache",
        fix=_fix(server, target, settings, longest),
    )


def _longest(server: Server, target: Target) -> int | None:
    if server.deployment.flag("max_model_len") is None:
        return None if server.partial else target.profile.memory.max_model_len
    given = server.given("max_model_len")
    return None if given is None else int(given)


def _per_slot(target: Target, rank: int) -> int:
    memory = target.profile.memory
    return round(memory.kv_tokens_per_slot_rank * rank + memory.kv_tokens_per_slot)


def _fix(server: Server, target: Target, settings: Settings, longest: int) -> Fix:
    """The rank that is needed, where that is enough; else also fewer slots or a shorter longest sequence, or both."""
    share, rank = settings.get("gpu_memory_utilization"), target.slot_rank
    ranked = {"max_lora_rank": rank} if settings["max_lora_rank"] != rank else {}
    fewer = {"max_loras": target.slots} if target.slots < settings["max_loras"] else {}
    shorter = {"max_model_len": target.covering_len} if target.covering_len < longest else {}
    for changes in (ranked, ranked | fewer, ranked | shorter, ranked | fewer | shorter):
        slots = int(changes.get("max_loras", settings["max_loras"]))
        if changes and target.kv_tokens(slots, rank, share) >= changes.get("max_model_len", longest):
            return server.written(**changes)
    return Fix("a max_model_len that only covers your requests, or a larger gpu_memory_utilization")
