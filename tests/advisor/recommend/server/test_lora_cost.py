"""What LoRA costs is told of the server that is launched, not of the Profile as it was measured."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.recommend.server.lora_cost import without_lora
from tests.advisor.small_zoo import profile
from twin.workload import Workload

MIX = Workload(*(np.full(60, value) for value in (16.0, 0.1, 100.0, 90.0, 110.0, 100.0, 1.0)))


def test_a_longest_sequence_that_the_kv_cache_does_not_hold_leaves_the_base_model_no_less() -> None:
    """As on a small card, where the model's own is lowered for the server to start."""
    whole = profile()
    memory = whole.memory.model_copy(update={"max_model_len": round(2 * whole.memory.kv_tokens_base)})
    long = whole.model_copy(update={"memory": memory})
    server = long.settings(max_loras=16, max_cpu_loras=60, max_lora_rank=16, others={"max_model_len": 2048})
    found, there = without_lora(MIX, long, server), without_lora(MIX, whole, server)
    assert found.load_ratio == there.load_ratio > 1
    assert found.itl_ms == there.itl_ms


def test_of_a_part_of_the_gpu_it_is_told_of_the_memory_there_is() -> None:
    memory = profile().memory.model_copy(update={"kv_tokens_base": 30_000.0, "max_model_len": 2048})
    more = memory.model_copy(update={"kv_tokens_base": 30_000.0 + 0.05 * memory.kv_tokens_per_utilization})
    ratios = []
    for there, utilization in ((memory, 0.9), (more, 0.85)):
        of = profile().model_copy(update={"memory": there})
        others = {"gpu_memory_utilization": utilization}
        server = of.settings(max_loras=16, max_cpu_loras=60, max_lora_rank=16, others=others)
        ratios.append(without_lora(MIX, of, server).load_ratio)
    assert ratios[0] == pytest.approx(ratios[1])
