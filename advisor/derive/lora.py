"""What LoRA's kernels take of a step on another model and GPU, out of what they took where they were measured.

A layer of LoRA is two kernels for each of its products, *shrink* and *expand* (see `twin.lora_kernels`). Each term of a
step goes with what its kernel does once in every layer:

    shrink, for every slot     thread blocks of each product with an A: 7 in a layer of Llama's kind
    shrink, for an adapter     inputs that those blocks sum up
    expand                     ceil(outputs / 128) thread blocks of each product with a B
    tokens                     inputs and outputs that are multiplied
    the rest                   layers

With several GPUs each has its part of the outputs of most products, and of the inputs of those that are split by these.
Of two measured models each then follows from the other with 6 % off what LoRA takes in the mean over batches of all
kinds (16 and 19 % at most); by layers alone it was 9 and 10 % (22 and 28 %).

Thread blocks are started at the pace of a GPU's clock, and none of them is large: bandwidth and arithmetic of the data
sheet do not tell what they take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from advisor.derive.gpu import Gpu
from advisor.derive.model_shape import ModelShape
from twin.profile import LORA_TERMS, Step

OUTPUTS = 128
"""Of a thread block's tile of the expand kernel."""
SAME_MODEL, OTHER_MODEL = 0.05, 0.15
"""How far off the terms are on the measured model and on another, relative: see above."""
OTHER_GPU, NO_CLOCK = 0.25, 0.5
"""How far off they may be on another GPU whose clock is known, and where it is not: nobody measured any but one. An
A100 has a fifth fewer processors than an H100 beside its slower clock."""


def scaled(measured: Step, source: ModelShape, shape: ModelShape, gpus: int, clocks: float) -> dict[str, float]:
    """The terms for another model on so many GPUs; `clocks` is the measured GPU's clock over that of the other."""
    ours, theirs = _work(shape, gpus), _work(source, 1)
    return {name: getattr(measured, name) * clocks * ours[name] / theirs[name] for name in LORA_TERMS}


def clock_ratio(measured: Gpu, gpu: Gpu) -> float:
    """The measured GPU's clock over another's; 1 where one of them is not known."""
    return measured.clock_ghz / gpu.clock_ghz if measured.clock_ghz and gpu.clock_ghz else 1.0


def uncertainty(*, same_model: bool, same_gpu: bool, gpu: Gpu) -> float:
    """How far off the terms may be, relative, for both reasons together."""
    of_gpu = 0.0 if same_gpu else OTHER_GPU if gpu.clock_ghz else NO_CLOCK
    return math.hypot(SAME_MODEL if same_model else OTHER_MODEL, of_gpu)


def _work(shape: ModelShape, gpus: int) -> Mapping[str, float]:
    """What each term goes with, on one of so many GPUs."""
    products = shape.linears
    inputs = sum(each.inputs / (gpus if each.row_parallel else 1) for each in products)
    outputs = [each.outputs / (1 if each.row_parallel else gpus) for each in products]
    tiles = sum(math.ceil(each / OUTPUTS) for each in outputs)
    of_a_layer = {
        "per_slot_shrink_ms": len(products),
        "per_split_token_ms": len(products),
        "per_adapter_shrink_ms": inputs,
        "per_slot_expand_ms": tiles,
        "per_adapter_expand_ms": tiles,
        "lora_per_token_ms": inputs + sum(outputs),
    }
    return {name: shape.layers * of_a_layer.get(name, 1.0) for name in LORA_TERMS}
