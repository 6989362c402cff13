"""Tokens that requests hold in the KV cache, and those that they share."""

from __future__ import annotations

from twin.workload import Workload


def held_tokens(mix: Workload) -> float:
    """KV tokens of a running request, on average: its prompt and what it has written; long answers are seen longer."""
    share = mix.rate / mix.rate.sum()
    answer = float(share @ mix.output_mean)
    return float(share @ mix.input_mean) + float(share @ (mix.output_mean**2 + mix.output_std**2)) / answer / 2


def shared_tokens(mix: Workload, block_size: int) -> float:
    """Of a prompt, on average, the tokens in whole KV blocks that other requests of its adapter begin with, too.

    While an adapter is in flight they are in the KV cache, once; what is evicted while nobody asks is computed again.
    """
    if mix.shared_prefix is None:
        return 0.0
    return float(mix.rate @ (mix.shared_prefix // block_size * block_size)) / float(mix.rate.sum())
