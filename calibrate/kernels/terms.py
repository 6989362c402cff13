"""LoRA's terms of a step (`twin.profile.Step`), and what each goes with in a batch."""

from __future__ import annotations

from collections.abc import Mapping

from calibrate.kernels.cases import Case
from twin import lora_kernels


def goes_with(case: Case) -> Mapping[str, float]:
    """Term -> how much of it a step with this batch has."""
    tokens, adapters, rank = case.tokens, case.adapters, lora_kernels.rank_tiles(case.rank)
    slots = adapters if case.specialize else case.slots  # blocks for whoever is in the batch, or for all
    return {
        "lora_base_ms": 1.0,
        "lora_per_token_ms": tokens,
        "per_adapter_ms": adapters,
        "per_adapter_shrink_ms": lora_kernels.shrink_work(tokens) * rank * adapters,
        "per_adapter_expand_ms": lora_kernels.expand_tiles(tokens) * adapters,
        "per_slot_shrink_ms": lora_kernels.shrink_tiles(tokens) * rank * slots,
        "per_slot_expand_ms": lora_kernels.expand_tiles(tokens) * slots,
        "per_split_token_ms": tokens * lora_kernels.is_split(tokens) * rank,
    }
