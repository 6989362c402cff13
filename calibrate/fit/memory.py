"""KV cache capacity, from the sizes that the server reported at start."""

from __future__ import annotations

import numpy as np
import pandas as pd

from calibrate.errors import CalibrationError
from calibrate.fit.regression import regress, significant
from twin.profile import Fit, Memory

BLOCK_SIZE = 16
"""Tokens per KV block, vLLM's default on GPUs."""
GIB = 2**30


def fit_memory(
    capacity: pd.DataFrame,
    *,
    gpu_memory_gib: float,
    kv_bytes_per_token: float,
    gpu_memory_utilization: float,
    max_model_len: int,
    source: str,
    block_size: int = BLOCK_SIZE,
) -> tuple[Memory, Fit]:
    """Fit `base - a * slots * max_rank - b * slots` to the capacities of the runs that started.

    The runs that did not start are not fitted but predicted: capacity below `max_model_len`.
    """
    started = capacity[(capacity["oom"] == 0) & capacity["kv_capacity_tokens"].notna()]
    if len(started) < 3:
        raise CalibrationError("kv_capacity.csv: three runs that started are needed to fit the memory model")
    slots, rank = started["max_loras"], started["max_lora_rank"]
    model = regress(
        {"base": 1.0, "per_slot_rank": -slots * rank, "per_slot": -slots},
        started["kv_capacity_tokens"],
    )
    memory = Memory(
        kv_tokens_base=model.coefficients["base"],
        kv_tokens_per_slot_rank=model.coefficients["per_slot_rank"],
        kv_tokens_per_slot=model.coefficients["per_slot"],
        block_size=block_size,
        gpu_memory_utilization=gpu_memory_utilization,
        kv_tokens_per_utilization=significant(gpu_memory_gib * GIB / kv_bytes_per_token),
        max_model_len=max_model_len,
    )
    failed = capacity["oom"].to_numpy() == 1
    predicted = np.array(
        [
            memory.kv_capacity_tokens(slots, rank, gpu_memory_utilization) < max_model_len
            for slots, rank in zip(capacity["max_loras"], capacity["max_lora_rank"], strict=True)
        ]
    )
    note = (
        f"{np.sum(failed & predicted)} of {np.sum(failed)} starts that ran out of memory are foretold, "
        f"{np.sum(~failed & predicted)} of {np.sum(~failed)} others wrongly so"
    )
    return memory, model.fit(source, note, max_loras=slots, max_lora_rank=rank)
