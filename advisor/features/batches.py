"""What comes together in steps: prompts one by one among answers, and what LoRA's kernels take for such batches.

Shapes are (rules, n), see `advisor.features.estimate`, or a number each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin import lora_kernels
from twin.profile import Step

Floats = NDArray[np.float64]

_LOGISTIC = 1.702
"""Times the logistic function is wider than the normal distribution function that stands for it."""


class Prompts(NamedTuple):
    """Prompts that come together in a step; shape (rules, n) or a number each."""

    together: Floats | float
    """How many, on average."""
    mean: Floats | float
    """Tokens that are computed of one."""
    square: Floats | float
    """Mean square of these tokens."""


class StepsWithPrompts(NamedTuple):
    """Steps in which prompts are computed; shape (rules, n) or a number each."""

    share: Floats
    """Of all steps."""
    tokens: Floats
    """Of prompts in such a step, on average."""
    deviation: Floats
    """Standard deviation of these."""


def steps_with(prompts: Prompts, budget: int) -> StepsWithPrompts:
    """Prompts come one by one: in most steps there is none, and the others are long.

    With Poisson arrivals, 1 - exp(-together) of the steps have some. Prompts longer than the token budget come in as
    many steps.
    """
    chunks = np.maximum(prompts.square / prompts.mean / budget, 1.0)
    count, mean, square = prompts.together * chunks, prompts.mean / chunks, prompts.square / chunks**2
    some = np.maximum(-np.expm1(-count), 1e-12)
    tokens = count * mean / some
    return StepsWithPrompts(
        some, tokens, np.sqrt(np.maximum((count * square + (count * mean) ** 2) / some - tokens**2, 0.0)) + 1.0
    )


def eager_tokens(over: Floats, steps: StepsWithPrompts) -> Floats:
    """Tokens of a step beyond the largest graph, on average over steps; `over` are those that decode less the graph's.

    What steps with prompts have beyond the graphs is taken as of a normal distribution (by the logistic approximation).
    """
    some, tokens, deviation = steps
    return some * _positive_part(over + tokens, deviation) + (1 - some) * np.maximum(over, 0.0)


def _positive_part(mean: Floats, deviation: Floats) -> Floats:
    """Mean of what is above 0 of normally distributed numbers (logistic approximation)."""
    width = deviation / _LOGISTIC
    return width * np.logaddexp(0.0, mean / width)


class Batches(NamedTuple):
    """Steps of several kinds; shape (kinds, rules, n) each."""

    share: Floats
    """Of all steps."""
    tokens: Floats
    """Batched, on average."""
    deviation: Floats
    """Standard deviation of these."""


def kinds_of_batches(decoding: Floats, steps: StepsWithPrompts, budget: int) -> Batches:
    """Steps that only decode so many tokens, on average, and steps in which prompts are computed as well.

    Of these none has more tokens than the budget.
    """
    some, tokens, deviation = steps
    come_and_go = np.sqrt(decoding) + 1.0  # who is answered at a time is Poisson, too
    return Batches(
        np.array([1 - some, some]),
        np.array([decoding, np.minimum(decoding + tokens, float(budget))]),
        np.array([come_and_go, np.hypot(deviation, come_and_go)]),
    )


class LoraCost(NamedTuple):
    """What LoRA adds to a step with so many slots, on average; shape (rules, n) each."""

    base_ms: Floats
    per_batched_token_ms: Floats
    """For tokens of base traffic as well, as slots are tiled for them, too."""
    per_token_ms: Floats
    """For tokens of adapters' requests, what is for all tokens included."""
    per_adapter_ms: Floats


def lora_cost(step: Step, max_lora_rank: int, slots: Floats, batches: Batches, tokens: Floats) -> LoraCost:
    """Mean over steps of these kinds, which have so many `tokens` on average, as if normally distributed in each.

    Kernels treat small batches otherwise than large ones, and most steps have far fewer tokens than the mean of all.
    """
    rank_tiles = lora_kernels.rank_tiles(max_lora_rank)
    split_tokens, shrink, expand, work = (batches.share * np.array(_tiles(batches))).sum(axis=1)
    shrink_ms, expand_ms = step.per_slot_shrink_ms * rank_tiles, step.per_slot_expand_ms
    slots_ms = (shrink_ms * shrink + expand_ms * expand) * slots
    base_ms = np.minimum((shrink_ms + expand_ms) * slots, slots_ms)  # a tile each, whatever the batch
    some = np.maximum(tokens, 1e-9)
    batched_ms = (slots_ms - base_ms) / some
    return LoraCost(
        base_ms=base_ms,
        per_batched_token_ms=batched_ms,
        per_token_ms=step.lora_per_token_ms + step.per_split_token_ms * rank_tiles * split_tokens / some + batched_ms,
        per_adapter_ms=step.per_adapter_ms
        + step.per_adapter_shrink_ms * rank_tiles * work
        + step.per_adapter_expand_ms * expand,
    )


def _tiles(batches: Batches) -> tuple[Floats, Floats, Floats, Floats]:
    """Split tokens, `shrink_tiles`, `expand_tiles` and `shrink_work` (see `lora_kernels`), on average, of each kind."""
    split = normal_cdf((lora_kernels.SPLIT_TOKENS - batches.tokens) / batches.deviation)
    density = _LOGISTIC * split * (1 - split)
    within = np.maximum(split * batches.tokens - batches.deviation * density, 0.0)
    within = np.minimum(within, split * lora_kernels.SPLIT_TOKENS)
    beyond = np.maximum(batches.tokens - within, 0.0)
    parts = lora_kernels.SPLIT_LARGE / lora_kernels.SPLIT
    shrink = _stairs(within, split, lora_kernels.SHRINK_TOKENS)
    shrink_large = _stairs(beyond, 1 - split, lora_kernels.SHRINK_TOKENS)
    return (
        within,
        shrink + parts * shrink_large,
        _stairs(batches.tokens, 1.0, lora_kernels.EXPAND_TOKENS),
        split + (1 - split) * lora_kernels.LARGE_WORK,
    )


def _stairs(tokens: Floats, share: Floats | float, tile: int) -> Floats:
    """`ceil(tokens / tile)` on average: half a tile above, and never less than one in that share of the steps."""
    return np.maximum(tokens / tile + share / 2, share)


def normal_cdf(x: Floats) -> Floats:
    """The normal distribution function, within 0.01 (logistic approximation)."""
    return 1.0 / (1.0 + np.exp(np.minimum(-_LOGISTIC * x, 50.0)))
