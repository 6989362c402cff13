"""The grid of vLLM's LoRA kernels: the thread blocks that a step launches, for each adapter slot and for those in use.

A LoRA layer is two kernels, *shrink* (tokens x A, down to the rank) and *expand* (x B, up again). Both launch their
blocks for every slot, whether an adapter in the batch uses it or not; those of the others end at once, but a GPU starts
no more than one or so in a nanosecond (`vllm/lora/ops/triton_ops`; the tiles are the same from 0.8.5 to 0.33):

    shrink   split x ceil(tokens / 32) x ceil(max_lora_rank / 16)   for every A: 7 in a layer of Llama's kind
    expand   ceil(tokens / 64) x ceil(outputs / 128)                for every B

`split` blocks share the sum over a token's inputs and add their parts to memory: 64 below 128 tokens, else 8. A slot
is as large as `max_lora_rank`, so that counts and not an adapter's own rank; all up to 16 cost the same. Blocks go with
the number of layers, those of expand with the outputs of a layer's projections as well.

The functions are plain arithmetic: of numbers or arrays, whole or not, and for compiled code.
"""

from __future__ import annotations

from typing import Any, TypeAlias

SHRINK_TOKENS, SHRINK_RANK, EXPAND_TOKENS = 32, 16, 64
"""Of a thread block's tile."""
SPLIT, SPLIT_LARGE = 64, 8
SPLIT_TOKENS = 120
"""The last batch below 128: CUDA graphs are captured for every eighth number of tokens, and batches padded to them."""
LARGE_WORK = 0.25
"""Time of an adapter's shrink in batches from 128 tokens on, over that in smaller ones: an eighth of the blocks, each
of which sums up more. Fitted, it is 0.26 in the hours of Llama-3.1-8B and 0.24 in those of Qwen2.5-7B on an H100."""
REACHED = 2**31
"""Numbers in the slots of one projection from which on kernels read elsewhere, for they count in 32 bits: on an H200
under vLLM 0.24, 384 slots of rank 256 with 28,672 outputs, 1.3 times as many, were an illegal memory access that ended
the process."""

Number: TypeAlias = Any
"""A number or an array of numbers."""


def rank_tiles(max_lora_rank: Number) -> Number:
    """Tiles of the shrink kernel that a slot's rank takes."""
    return -(-max_lora_rank // SHRINK_RANK)


def is_split(tokens: Number) -> Number:
    """Whether the tokens are so few that each is summed up in many parts."""
    return tokens <= SPLIT_TOKENS


def shrink_tiles(tokens: Number) -> Number:
    """Blocks of the shrink kernel for a slot of rank 16, relative to those for one token."""
    return (SPLIT_LARGE + (SPLIT - SPLIT_LARGE) * (tokens <= SPLIT_TOKENS)) * -(-tokens // SHRINK_TOKENS) / SPLIT


def shrink_work(tokens: Number) -> Number:
    """Time of an adapter's blocks of the shrink kernel that have something to do, relative to that for one token."""
    return LARGE_WORK + (1 - LARGE_WORK) * (tokens <= SPLIT_TOKENS)


def expand_tiles(tokens: Number) -> Number:
    """Blocks of the expand kernel for a slot, relative to those for one token."""
    return -(-tokens // EXPAND_TOKENS)
