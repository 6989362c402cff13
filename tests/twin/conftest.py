"""Servers and small workloads for the tests of the twin."""

from __future__ import annotations

import numpy as np

from twin.settings import Settings
from twin.workload import Workload


def make_server(max_loras: int, max_cpu_loras: int = 512, **settings: float) -> Settings:
    """A server with the settings of the published runs unless told otherwise."""
    defaults = {
        "max_lora_rank": 16,
        "max_num_seqs": 2048,
        "max_num_batched_tokens": 2048,
        "gpu_memory_utilization": 0.9,
        "max_model_len": 131_072,
    }
    return Settings(max_loras=max_loras, max_cpu_loras=max_cpu_loras, **(defaults | settings))  # type: ignore[arg-type]


def make_workload(rates: list[float], *, prompt: float = 223, answer: float = 196, cv: float = 1.0) -> Workload:
    """One adapter of rank 8 per rate, with ShareGPT-like lengths."""
    ones = np.ones(len(rates))
    return Workload(
        rank=8 * ones,
        rate=np.array(rates),
        input_mean=prompt * ones,
        input_std=0.85 * prompt * ones,
        output_mean=answer * ones,
        output_std=0.92 * answer * ones,
        cv=cv * ones,
        correlation=-0.35,
    )
