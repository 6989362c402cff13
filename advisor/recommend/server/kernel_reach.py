"""How many adapter slots vLLM's LoRA kernels reach: they count the numbers of a product's slots in 32 bits."""

from __future__ import annotations

from advisor.derive.llm import model_shape
from advisor.errors import InputError
from advisor.zoo.pair import Pair
from twin.lora_kernels import REACHED


def largest_side(pair: Pair) -> int | None:
    """The most inputs or outputs of a projection on one GPU of a server; None where the model's shape is not known."""
    try:
        shape = pair.derived_from or model_shape.find(pair.model)
    except InputError:
        return None
    # A projection is split by its outputs, or by its inputs where it is parallel by rows; the other side stays whole.
    split = (
        (each.inputs, each.outputs) if each.row_parallel else (each.outputs, each.inputs) for each in shape.linears
    )
    return max(max(parted // pair.gpus, whole) for parted, whole in split)


def most_slots(side: int, rank: int) -> int:
    """The most slots of a rank that kernels reach with so many inputs or outputs."""
    return (REACHED - 1) // (rank * side)
