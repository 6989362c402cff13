"""Rows of timed kernels as `python -m calibrate kernels` writes them, of kernels that take what known terms say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from calibrate.kernels.cases import LAYER, Case
from calibrate.kernels.fit import KERNELS
from calibrate.kernels.terms import goes_with

TRUE: Mapping[str, float] = {
    "lora_base_ms": 0.8,
    "lora_per_token_ms": 0.006,
    "per_adapter_ms": 0.25,
    "per_adapter_shrink_ms": 0.1,
    "per_adapter_expand_ms": 0.01,
    "per_slot_shrink_ms": 0.009,
    "per_slot_expand_ms": 0.015,
    "per_split_token_ms": 0.02,
}
"""Of a step of Llama-3.1-8B, ms."""
LAYERS = 32
ABOUT = {"gpu": "NVIDIA H200", "vllm": "0.24.0", "torch": "2.11.0+cu130"}


def took(case: Case) -> dict[str, float]:
    """What each kernel takes, us: of a call as much as of any other, and of either kernel."""
    step_ms = sum(TRUE[name] * much for name, much in goes_with(case).items())
    return dict.fromkeys(KERNELS, 1e3 * step_ms / LAYERS / len(LAYER) / len(KERNELS))


def write_rows(path: Path, cases: Iterable[Case], noise: float = 0.05, seed: int = 0) -> Path:
    """The rows, with so much relative noise."""
    random = np.random.default_rng(seed)
    with path.open("w") as file:
        for case in cases:
            us = {name: round(value * random.lognormal(0.0, noise), 3) for name, value in took(case).items()}
            file.write(json.dumps({**case._asdict(), **us, **ABOUT}) + "\n")
    return path
