"""How a model is split over the GPUs of a server: how many may share it, and what each of them holds.

The rules are vLLM's own assertions, the same in all versions that are known here: heads of attention in its models'
`…Attention` classes, matrices in `divide()` of `vllm/distributed/utils.py`. Where there are fewer KV heads than GPUs,
several hold the same one. The vocabulary is padded, but to 64 tokens and no further, so that an odd number of GPUs
rarely shares it (vllm-project/vllm #1399: 32,064 tokens on 5 GPUs; #31474: 151,552 on 6).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from advisor.derive.llm.model_shape import ModelShape

MAX_GPUS = 64
"""That one server may span: more than any machine has, and eight of most."""
PADDED_TO = 64
"""Tokens that vLLM pads a vocabulary to a multiple of (DEFAULT_VOCAB_PADDING_SIZE)."""


class Shard(NamedTuple):
    """What one GPU has of a matrix."""

    inputs: float
    outputs: float


def shards(shape: ModelShape, gpus: int) -> tuple[Shard, ...]:
    """What one of so many GPUs has of each matrix in `shape.linears`."""
    of_kv_heads = max(1 / gpus, 1 / shape.kv_heads)
    return tuple(
        Shard(each.inputs / gpus, each.outputs)
        if each.row_parallel
        else Shard(each.inputs, (each.outputs - each.of_kv_heads) / gpus + each.of_kv_heads * of_kv_heads)
        for each in shape.linears
    )


def parameters(shape: ModelShape, gpus: int) -> float:
    """Parameters of all layers that one of so many GPUs holds."""
    twice = max(1.0 - shape.kv_heads / gpus, 0.0)
    return shape.body_parameters / gpus + 2 * shape.layers * shape.hidden * twice * shape.head_dim


def counts(shape: ModelShape, most: int) -> list[int]:
    """The numbers of GPUs, up to `most`, that may share the model."""
    return [gpus for gpus in range(1, most + 1) if obstacle(shape, gpus) is None]


def obstacle(shape: ModelShape, gpus: int) -> str | None:
    """What of the model so many GPUs do not share, in words; None where vLLM starts."""
    return next((f"{what} not shared by {gpus} GPUs" for what, rest in _rests(shape, gpus) if rest), None)


def _rests(shape: ModelShape, gpus: int) -> Iterator[tuple[str, int]]:
    """What is split, and what is left over."""
    yield f"{shape.heads} attention heads are", shape.heads % gpus
    more, fewer = max(shape.kv_heads, gpus), min(shape.kv_heads, gpus)
    yield f"{shape.kv_heads} KV heads are", more % fewer
    if shape.experts:
        yield f"experts of {shape.intermediate:,} are", shape.intermediate % gpus
        yield f"a shared expert of {shape.shared_intermediate:,} is", shape.shared_intermediate % gpus
        if shape.dense_layers:
            yield f"an MLP of {shape.dense_intermediate:,} is", shape.dense_intermediate % gpus
    else:
        yield f"an MLP of {shape.intermediate:,} is", shape.intermediate % gpus
    yield f"a vocabulary of {shape.vocabulary:,} tokens is", -(-shape.vocabulary // PADDED_TO) * PADDED_TO % gpus
