"""The rules: one small module each, with `RULE` and `check`, in the order of their codes."""

from __future__ import annotations

from collections.abc import Iterator

from advisor.check.finding import Finding
from advisor.check.rule import Rule
from advisor.check.rules import (
    adapter_rank,
    adapters,
    bad_number,
    base_model,
    batch,
    context_limit,
    given_twice,
    gpu,
    host_cache,
    host_slots,
    limit,
    long_context,
    long_requests,
    lora_off,
    memory,
    old_image,
    other_version,
    rank_above_need,
    ray,
    routes,
    run_otherwise,
    runtime_loading,
    slot_rank,
    slots,
    slots_above_adapters,
    slots_above_use,
    spelling,
    unknown,
    unset_slots,
)
from advisor.check.server import Server
from advisor.check.spellings import OTHER, PROBLEMS
from advisor.check.suppression import UNREASONED

_JUDGING = (
    *(adapter_rank, slot_rank, host_cache, memory, lora_off, bad_number, batch, context_limit),
    *(slots, limit, host_slots, long_requests),
    *(rank_above_need, slots_above_adapters, slots_above_use, long_context),
    *(base_model, gpu, adapters, ray, unset_slots, runtime_loading, routes, old_image, run_otherwise),
    *(unknown, given_twice, other_version),
)
RULES: dict[str, Rule] = {
    rule.code: rule
    for rule in sorted(
        (UNREASONED, *(module.RULE for module in _JUDGING), *PROBLEMS.values(), OTHER), key=lambda rule: rule.code
    )
}
"""Every rule, by its code."""


def judge(server: Server) -> Iterator[Finding]:
    """What all rules find in one server."""
    yield from spelling.check(server)
    for module in _JUDGING:
        yield from module.check(server)
