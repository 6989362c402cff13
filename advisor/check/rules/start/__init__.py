"""AD1: what does not start."""

from advisor.check.rules.start import (
    adapter_rank,
    bad_number,
    batch,
    context_limit,
    host_cache,
    kernel_reach,
    lora_off,
    memory,
    slot_rank,
)

JUDGING = (adapter_rank, slot_rank, host_cache, memory, lora_off, bad_number, batch, context_limit, kernel_reach)
"""Its rules, in the order of their codes."""
