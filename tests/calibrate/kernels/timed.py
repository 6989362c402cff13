"""Rows of timed kernels as `python -m calibrate kernels` writes them, of kernels that take what known terms say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from calibrate.kernels.cases import Case
from calibrate.kernels.terms import goes_with

TRUE: Mapping[str, Mapping[str, float]] = {
    "shrink_us": {
        "lora_base_ms": 5.0,
        "per_adapter_ms": 0.02,
        "lora_per_token_ms": 2e-7,
        "per_slot_shrink_ms": 0.03,
        "per_adapter_shrink_ms": 2e-5,
        "per_split_token_ms": 0.05,
    },
    "expand_us": {
        "lora_base_ms": 4.0,
        "per_adapter_ms": 0.03,
        "lora_per_token_ms": 3e-7,
        "per_slot_expand_ms": 0.0007,
        "per_adapter_expand_ms": 0.0005,
    },
}
"""Kernel -> term -> us for each of what it goes with."""
ABOUT = {"gpu": "NVIDIA H200", "vllm": "0.24.0", "torch": "2.11.0+cu130"}


def took(case: Case) -> dict[str, float]:
    """What each kernel takes."""
    return {
        kernel: sum(TRUE[kernel][name] * much for name, much in terms.items())
        for kernel, terms in goes_with(case).items()
    }


def write_rows(path: Path, cases: Iterable[Case], noise: float = 0.05, seed: int = 0) -> Path:
    """The rows, with so much relative noise."""
    random = np.random.default_rng(seed)
    with path.open("w") as file:
        for case in cases:
            us = {name: round(value * random.lognormal(0.0, noise), 3) for name, value in took(case).items()}
            file.write(json.dumps({**case._asdict(), **us, **ABOUT}) + "\n")
    return path
