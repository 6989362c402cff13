"""LoRA's terms of a step (`twin.profile.Step`): what each goes with in a call of a layer, as derived Profiles say."""

from __future__ import annotations

from collections.abc import Mapping

from advisor.derive.lora import OUTPUTS
from calibrate.kernels.cases import LAYER, Case
from twin import lora_kernels

FIXED = "lora_base_ms"
SHRINK, EXPAND = "shrink_us", "expand_us"
OF_KERNEL = {
    SHRINK: (FIXED, "per_adapter_ms", "lora_per_token_ms", "per_slot_shrink_ms", "per_adapter_shrink_ms",
             "per_split_token_ms"),
    EXPAND: (FIXED, "per_adapter_ms", "lora_per_token_ms", "per_slot_expand_ms", "per_adapter_expand_ms"),
}  # fmt: skip
"""Which of them each kernel has a part in. Both launch, find out whose tokens are whose, and move tokens."""


def goes_with(case: Case) -> Mapping[str, Mapping[str, float]]:
    """Kernel -> term -> how much of it a call takes."""
    products, tokens = len(case.outputs), case.tokens
    tiles, rank = sum(-(-outputs // OUTPUTS) for outputs in case.outputs), lora_kernels.rank_tiles(case.rank)
    # The grid has one more than there are slots, for tokens of no adapter; or one for each adapter in the batch.
    slots = case.adapters - 1 if case.specialize else case.slots
    inputs = products * case.inputs
    shrink = (
        *(1.0, case.adapters, inputs * tokens),
        products * lora_kernels.shrink_tiles(tokens) * rank * slots,
        inputs * lora_kernels.shrink_work(tokens) * rank * case.adapters,
        products * tokens * lora_kernels.is_split(tokens) * rank,
    )
    expand = (
        *(1.0, case.adapters, sum(case.outputs) * tokens),
        tiles * lora_kernels.expand_tiles(tokens) * slots,
        tiles * lora_kernels.expand_tiles(tokens) * case.adapters,
    )
    found = {SHRINK: shrink, EXPAND: expand}
    return {kernel: dict(zip(terms, found[kernel], strict=True)) for kernel, terms in OF_KERNEL.items()}


def of_a_layer() -> Mapping[str, Mapping[str, float]]:
    """What a layer of Llama-3.1-8B has of a term, in the units of `goes_with`: one slot, one adapter, one token."""
    found: dict[str, dict[str, float]] = {kernel: dict.fromkeys(terms, 0.0) for kernel, terms in OF_KERNEL.items()}
    for inputs, outputs in LAYER:
        for kernel, terms in goes_with(Case(inputs, outputs, 1, 1, 1, 1)).items():
            for name, value in terms.items():
                found[kernel][name] += value
    return found
