"""How many adapter slots vLLM's LoRA kernels reach: they count the numbers of a product's slots in 32 bits."""

from __future__ import annotations

from advisor.derive.shards import shards
from advisor.zoo.pair import Pair
from twin.lora_kernels import REACHED


def largest_side(pair: Pair) -> int | None:
    """The most inputs or outputs of a projection on one GPU of a server; None where the model's shape is not known."""
    if pair.shape is None:
        return None
    return int(max(side for part in shards(pair.shape, pair.gpus) for side in part))


def most_slots(side: int, rank: int) -> int:
    """The most slots of a rank that kernels reach with so many inputs or outputs."""
    return (REACHED - 1) // (rank * side)
