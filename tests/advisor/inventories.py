"""Inventories for tests: as text, and drawn at random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from hypothesis import strategies as st

from advisor.inventory.inventory import Inventory
from tests.advisor.small_zoo import random_mix
from twin.workload import Workload

PLAIN = """\
model = "example/Tiny-1B"
gpu = "test-gpu"

[lengths]
input = { mean = 100, std = 90 }
output = { mean = 110, std = 100 }

[[adapters]]
name = "sql"
rank = 16
rate = 0.1
count = 60

[[adapters]]
name = "tenant"
rank = 8
rate = 0.025
source = "adapters/tenant"
"""


def write(directory: Path, text: str = PLAIN) -> Path:
    """The text as an inventory file."""
    path = directory / "inventory.toml"
    path.write_text(text, encoding="utf-8")
    return path


def of(mix: Workload, **server: float) -> Inventory:
    """An inventory of a mix."""
    names = tuple(f"adapter-{i}" for i in range(len(mix)))
    workload = mix
    return Inventory("tiny-1b", "test-gpu", names, (None,) * len(mix), workload, server)


def random(seed: int) -> Inventory:
    """A random inventory, sometimes beyond what one GPU serves."""
    generator = np.random.default_rng(seed)
    return of(random_mix(generator, int(10 ** generator.uniform(0, 3))))


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
tokens = st.floats(1, 1e5)
moments = st.fixed_dictionaries({"mean": tokens, "std": st.floats(0, 1e5)})
percentiles = st.dictionaries(st.integers(1, 99), tokens, min_size=2, max_size=5).map(
    lambda found: {f"p{p}": value for p, value in zip(sorted(found), sorted(found.values()), strict=True)}
)
lengths = moments | percentiles
gaps = st.sampled_from(["gamma", "lognormal"])
cvs = st.floats(0.01, 100)
adapters = st.fixed_dictionaries(
    {"name": names, "rank": st.integers(1, 512), "rate": st.just(0.0) | st.floats(1e-9, 1000)},
    optional={
        "count": st.integers(1, 30),
        "input": lengths,
        "output": lengths,
        "gaps": gaps,
        "cv": cvs,
        "source": names,
        "gpu": st.integers(0, 99_999),
        "apart": names,
        "replicas": st.integers(1, 100_000),
    },
)
base = st.fixed_dictionaries(
    {"rate": st.just(0.0) | st.floats(1e-9, 1000)},
    optional={"input": lengths, "output": lengths, "gaps": gaps, "cv": cvs},
)
phases = st.fixed_dictionaries(
    {"duration": st.floats(10, 1e6)}, optional={"scale": st.floats(0.1, 10), "gaps": gaps, "cv": cvs}
)


engines = st.fixed_dictionaries(
    {},
    optional={
        "model_config": names,
        "tensor_parallel": st.integers(1, 64),
        "quantization": st.sampled_from(["fp8", "awq", "gptq", "bitsandbytes", "compressed-tensors"]),
        "kv_cache_dtype": st.sampled_from(["auto", "fp8", "fp8_e5m2"]),
        "vllm": st.sampled_from(["0.8.5", "0.33", "0.24.0"]),
        "gpu": st.fixed_dictionaries(
            {
                "name": names,
                "memory_gib": st.floats(2, 1000),
                "bandwidth_gb_s": st.floats(50, 10_000),
                "bf16_tflops": st.integers(5, 5000),
                "like": st.sampled_from(["l40s", "A100", "NVIDIA H100 80GB HBM3"]),
            },
            optional={"fp8_tflops": st.floats(10, 1e4), "link_gb_s": st.floats(2, 2000)},
        ),
    },
)
"""How the LLM is run; a table of figures in the place of the name of a GPU."""


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """What a valid inventory file holds."""
    rows = draw(st.lists(adapters, min_size=1, max_size=8))
    if not any(row["rate"] for row in rows):
        rows[0]["rate"] = 1.0
    for i, row in enumerate(rows):  # expanded names must differ, too
        row["name"] = f"{i}:{row['name']}"
    return {
        "model": draw(names),
        "gpu": draw(names),
        "lengths": {"input": draw(lengths), "output": draw(lengths), "correlation": draw(st.floats(-1, 1))},
        "adapters": rows,
        "phases": draw(st.lists(phases, max_size=3)),
        **draw(engines),
        **({"base": traffic} if (traffic := draw(st.none() | base)) else {}),
    }


def toml(document: dict[str, Any]) -> str:
    """A document as the text of its file."""
    return tomli_w.dumps(document)
