"""What LoRA's kernels take of a step on another model and GPU, out of what they took where they were measured.

A layer of LoRA is two kernels for each of its products, *shrink* and *expand* (see `twin.lora_kernels`). Each term of a
step goes with what its kernel does once in every layer:

    shrink, for every slot     thread blocks of each product with an A: 7 in a layer of Llama's kind
    shrink, for an adapter     inputs that those blocks sum up
    expand                     ceil(outputs / 128) thread blocks of each product with a B
    tokens                     inputs and outputs that are multiplied
    the rest                   layers

An adapter in the batch also takes a time that does not go with its rank. Under vLLM 0.8.5 it goes with the layers (10.1
and 10.2 us in one of each measured model); in a current vLLM most of it is expand's, which goes with the thread blocks:
26 ns for each with 57,344 outputs, 28 with 28,672.

With several GPUs each has its part of the outputs of most products, and of the inputs of those that are split by these.
Of two measured models each then follows from the other with 6 % off what LoRA takes in the mean over batches of all
kinds (16 and 19 % at most); by layers alone it was 9 and 10 % (22 and 28 %).

Thread blocks are started at the pace of a GPU's clock, and none of them is large: bandwidth and arithmetic of the data
sheet do not tell what they take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from advisor.derive.engine import Generation
from advisor.derive.gpus.gpu import Gpu
from advisor.derive.llm.model_shape import ModelShape
from advisor.derive.shards import shards
from twin.profile import LORA_TERMS

CURRENT_MS: Mapping[str, tuple[float, float, float]] = {
    "lora_base_ms": (0.784, 0.696, 1.66),
    "lora_per_token_ms": (0.00576, 0.00496, 0.00612),
    "per_adapter_ms": (0.267, 0.25, 0.296),
    "per_adapter_shrink_ms": (0.109, 0.0927, 0.118),
    "per_adapter_expand_ms": (0.00435, 0, 0.00823),
    "per_slot_shrink_ms": (0.00958, 0.00877, 0.0105),
    "per_slot_expand_ms": (0.0159, 0.015, 0.0167),
    "per_split_token_ms": (9.69e-05, 0, 0.00111),
}
"""What LoRA adds to a step of Llama-3.1-8B on an H200 under a current vLLM: middle, lowest, highest.

LoRA's kernels of vLLM 0.24.0 alone, 129 layers on NVIDIA H200, torch 2.11.0+cu130: 7.9 % off in the mean (`python -m
calibrate fit-kernels calibrate/kernels/timed/h200-vllm-0.24.jsonl`). The highest of the first is what an H100 NVL under
0.15 leaves for it: EXAONE-3.5-2.4B took 64 us a layer more with LoRA than without, a slot and an adapter 12 of these.
"""
CURRENT_MODEL, CURRENT_ON = "meta-llama/Llama-3.1-8B-Instruct", "h200"
"""The model and the catalogue's name of the GPU that these are of."""
ALONE_OFF = 0.24
"""How far kernels alone are off a server's steps, relative. With 32 slots of rank 16 an H200 took 2.15, 3.65, 9.03,
4.54, 13.2 and 13.6 ms more than without LoRA, for 1, 8, 32, 128, 128 and 128 requests (the last with prompts) of 1, 8,
32, 1, 32 and 32 adapters; these terms say 2.0, 4.7, 12.3, 3.0, 12.4 and 14.4."""
OUTPUTS = 128
"""Of a thread block's tile of the expand kernel."""
SAME_MODEL, OTHER_MODEL = 0.05, 0.15
"""How far off the terms are on the measured model and on another, relative: see above."""
OTHER_GPU, NO_CLOCK = 0.25, 0.5
"""How far off they may be on another GPU whose clock is known, and where it is not: nobody measured any but one. An
A100 has a fifth fewer processors than an H100 beside its slower clock."""


def scaled(source: ModelShape, shape: ModelShape, gpus: int, clocks: float, generation: Generation) -> dict[str, float]:
    """By how much each term is larger for another model on so many GPUs than for the one that was measured under a vLLM
    of that generation; `clocks` is the measured GPU's clock over that of the other.
    """
    ours, theirs = _work(shape, gpus, generation), _work(source, 1, generation)
    return {name: clocks * ours[name] / theirs[name] for name in LORA_TERMS}


def clock_ratio(measured: Gpu, gpu: Gpu) -> float:
    """The measured GPU's clock over another's; 1 where one of them is not known."""
    return measured.clock_ghz / gpu.clock_ghz if measured.clock_ghz and gpu.clock_ghz else 1.0


def uncertainty(*, same_model: bool, same_gpu: bool, gpu: Gpu) -> float:
    """How far off the terms may be, relative, for both reasons together."""
    of_gpu = 0.0 if same_gpu else OTHER_GPU if gpu.clock_ghz else NO_CLOCK
    return math.hypot(SAME_MODEL if same_model else OTHER_MODEL, of_gpu)


def _work(shape: ModelShape, gpus: int, generation: Generation) -> Mapping[str, float]:
    """What each term goes with, on one of so many GPUs."""
    products = shards(shape, gpus)
    inputs = sum(each.inputs for each in products)
    outputs = [each.outputs for each in products]
    tiles = sum(math.ceil(each / OUTPUTS) for each in outputs)
    of_a_layer = {
        "per_slot_shrink_ms": len(products),
        "per_split_token_ms": len(products),
        "per_adapter_shrink_ms": inputs,
        "per_adapter_ms": tiles if generation == "current" else 1.0,
        "per_slot_expand_ms": tiles,
        "per_adapter_expand_ms": tiles,
        "lora_per_token_ms": inputs + sum(outputs),
    }
    return {name: shape.layers * of_a_layer.get(name, 1.0) for name in LORA_TERMS}
