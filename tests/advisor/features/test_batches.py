"""What comes together in steps: beside batches that are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.features.batches import Prompts, kinds_of_batches, lora_cost, steps_with
from twin import lora_kernels
from twin.profile import Step

STEP = Step(
    graph_tokens=512,
    base_ms=12.0,
    per_request_ms=0.05,
    lora_per_token_ms=0.013,
    per_adapter_ms=0.3,
    per_adapter_shrink_ms=0.11,
    per_adapter_expand_ms=0.004,
    per_slot_shrink_ms=0.0115,
    per_slot_expand_ms=0.008,
    per_split_token_ms=0.02,
    per_eager_token_ms=0.025,
)


@pytest.mark.parametrize("rank", [8, 64, 512])
@pytest.mark.parametrize("decoding", [2.0, 20.0, 70.0, 300.0])
@pytest.mark.parametrize(("together", "prompt"), [(0.01, 2000.0), (0.3, 800.0), (1.5, 400.0), (3.0, 30.0)])
def test_what_lora_takes_is_its_mean_over_steps_with_and_without_prompts(
    rank: int, decoding: float, together: float, prompt: float
) -> None:
    """Within 20 %, at ranks where a few tokens more or less decide which kernels run: beside Poisson arrivals."""
    generator, steps, slots, adapters = np.random.default_rng(1), 40_000, 40.0, 5.0
    prompts = generator.poisson(together, steps) * prompt
    tokens = np.minimum(generator.poisson(decoding, steps) + prompts, 8192.0)
    tokens = np.maximum(tokens, 1.0)
    tiles = lora_kernels.rank_tiles(rank)
    of_slots = STEP.per_slot_shrink_ms * tiles * lora_kernels.shrink_tiles(tokens)
    of_slots += STEP.per_slot_expand_ms * lora_kernels.expand_tiles(tokens)
    of_tokens = (STEP.lora_per_token_ms + STEP.per_split_token_ms * tiles * lora_kernels.is_split(tokens)) * tokens
    of_adapters = STEP.per_adapter_ms + STEP.per_adapter_shrink_ms * tiles * lora_kernels.shrink_work(tokens)
    of_adapters += STEP.per_adapter_expand_ms * lora_kernels.expand_tiles(tokens)
    drawn = float((slots * of_slots + of_tokens + adapters * of_adapters).mean())

    mean = np.array([float(tokens.mean())])
    batches = kinds_of_batches(
        np.array([decoding]), steps_with(Prompts(np.array([together]), prompt, prompt**2), 8192), 8192
    )
    found = lora_cost(STEP, rank, np.array([slots]), batches, mean)
    estimated = found.base_ms + found.per_token_ms * mean + adapters * found.per_adapter_ms
    assert float(estimated[0]) == pytest.approx(drawn, rel=0.2)
