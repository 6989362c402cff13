"""A small zoo for tests: a pair trained in a second on a made-up law of serving, exported as a real one is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from advisor.features.vector import (
    MIX_FEATURES,
    PROPORTIONS,
    SERVING_FEATURES,
    SLOTS_FEATURES,
    STEADY_FEATURES,
    measure,
    vector,
)
from advisor.zoo.manifest import Chance, Ensemble, Graph, Manifest, Tree
from model_zoo.training.export import ensembles_to_onnx, trees_to_onnx
from twin.behaviour import behaviour_of
from twin.profile import Fit, FrontEnd, Loading, Memory, Pair, Profile, Scheduling, Serving, Step
from twin.workload import Workload

NAME = "tiny-1b--test-gpu"
MAX_ADAPTERS = 256
MAX_MODEL_LEN = 16_384
ERROR = {"smape_percent": 5.0}
TAILS = {"p50": 0.9, "p95": 1.5, "p99": 2.0}
"""What percentiles are, times their means."""
Rows = list[dict[str, float]]


def capacity(features: dict[str, float]) -> float:
    """The law: tokens/s that one GPU serves of a mix."""
    return 6000.0 / (1.0 + features["rank_max"] / 64.0) * min(1.0, 0.3 + 40.0 * features["rate_mean"])


def random_mix(generator: np.random.Generator, size: int | None = None) -> Workload:
    """Adapters of a few ranks and rates over two decades."""
    n = size or int(generator.integers(1, MAX_ADAPTERS))
    ones = np.ones(n)
    length = generator.uniform(50, 400)
    return Workload(
        generator.choice([8, 16, 32, 64], n).astype(float),
        10 ** generator.uniform(-2.5, -0.5, n),
        length * ones,
        length * ones,
        length * ones,
        length * ones,
        ones,
    )


def build(directory: Path) -> Path:
    """Write the pair into a zoo directory; its path."""
    pair = directory / NAME
    pair.mkdir(parents=True)
    generator = np.random.default_rng(7)
    mixes = [random_mix(generator) for _ in range(400)]
    slots = [int(generator.integers(1, len(mix) + 1)) for mix in mixes]
    rows = [measure(mix, profile(), ttft_limit_s=2.0, max_loras=held) for mix, held in zip(mixes, slots, strict=True)]
    files = {"profile.toml": profile().to_toml().encode()}
    fitted, features, trees, ensembles, forests = {}, {}, [], [], {}
    for objective, generosity in (("steady", 1.0), ("published", 1.3)):
        # The published limit is learned as a factor of another feature, the steady one outright.
        factors = [row["estimated_load"] if objective == "published" else 1.0 for row in rows]
        limits = [generosity * capacity(row) / factor for row, factor in zip(rows, factors, strict=True)]
        wanted = [min(row["adapters"], np.ceil(1.5 * row["active_adapters"]) + 1) for row in rows]
        for output, names, target in (("load_limit", MIX_FEATURES, limits), ("max_loras", SLOTS_FEATURES, wanted)):
            times = "estimated_load" if objective == "published" and output == "load_limit" else ""
            trees.append(entry := Tree(objective=objective, output=output, times=times, error=ERROR))
            tree = DecisionTreeRegressor(max_depth=5, min_samples_leaf=5, random_state=0)
            fitted[entry.name], features[entry.name] = tree.fit(matrix(rows, names), target), names
    load = np.array([row["token_rate"] / capacity(row) for row in rows])
    queueing = np.array([row["slots_load_share"] for row in rows])
    step_ms = np.array([row["step_time"] for row in rows])
    itl_ms, ttft_ms = 20.0 + 60.0 * np.minimum(load, 2.0), np.where(load < 1.0, 100.0, 60_000.0)
    asked: dict[str, tuple[str, ...]] = {}
    for output, times, target in (
        ("throughput_share", "", np.log(np.minimum(1.0, 1.0 / load) * np.maximum(queueing, 1.0))),
        # The ITL is learned as a multiple of the step that is estimated, the TTFT outright.
        ("itl_ms", "step_time", np.log(itl_ms / step_ms)),
        ("ttft_ms", "", np.log(ttft_ms)),
        *((f"itl_{statistic}_ms", "step_time", np.log(times * itl_ms / step_ms)) for statistic, times in TAILS.items()),
        *((f"ttft_{statistic}_ms", "", np.log(times * ttft_ms)) for statistic, times in TAILS.items()),
    ):
        forest = RandomForestRegressor(n_estimators=10, max_depth=10, random_state=0, n_jobs=1)
        forests[output], asked[output] = forest.fit(matrix(rows, SERVING_FEATURES), target), SERVING_FEATURES
        ensembles.append(Ensemble(output=output, times=times, error=ERROR))
    chances = []
    for objective, names, bearable in (
        ("steady", STEADY_FEATURES, 1.0),
        ("published", SERVING_FEATURES, 1.0 / 0.9),
    ):
        forest = RandomForestRegressor(n_estimators=10, max_depth=10, random_state=0, n_jobs=1)
        log_odds = np.where(load < bearable, 6.0, -6.0)
        forests[objective], asked[objective] = forest.fit(matrix(rows, names), log_odds), names
        chances.append(Chance(objective=objective, required=0.8, error={"macro_f1": 0.9}))
    files["rules.onnx"] = trees_to_onnx(fitted, features)
    files["serving.onnx"] = ensembles_to_onnx(forests, asked)
    for file, data in files.items():
        (pair / file).write_bytes(data)
    manifest = Manifest(
        pair=NAME,
        model="example/Tiny-1B",
        gpu="test-gpu",
        vllm="0.8.5",
        command="made for tests",
        date="2026-11-28",
        versions={},
        seed=7,
        workloads=len(rows),
        simulations=len(rows),
        max_adapters=MAX_ADAPTERS,
        slots=[0.5, 1.0, 2.0],
        range={
            name: (min(row[name] for row in rows), max(row[name] for row in rows))
            for name in STEADY_FEATURES
            if name not in PROPORTIONS  # lengths differ alike in all of these mixes
        },
        rules=Graph(file="rules.onnx", features=[*SLOTS_FEATURES]),
        trees=trees,
        serving=Graph(file="serving.onnx", features=[*STEADY_FEATURES]),
        ensembles=ensembles,
        chances=chances,
        sha256={file: hashlib.sha256(data).hexdigest() for file, data in files.items()},
    )
    (pair / "manifest.json").write_text(manifest.model_dump_json())
    return directory


def matrix(rows: Rows, features: tuple[str, ...]) -> np.ndarray:
    """The features of all rows, float32 of shape (rows, features)."""
    return np.concatenate([vector(row, features) for row in rows])


def profile() -> Profile:
    """Constants of a small server: 40,000 KV tokens, 2 tokens per slot and unit of rank."""
    times = {"base_ms": 12, "per_request_ms": 0.02, "lora_per_token_ms": 0.03}
    return Profile(
        pair=Pair(name=NAME, model="example/Tiny-1B", gpu="test-gpu", vllm="0.8.5"),
        memory=Memory(
            kv_tokens_base=40_000,
            kv_tokens_per_slot_rank=2,
            kv_tokens_per_slot=0,
            block_size=16,
            gpu_memory_utilization=0.9,
            kv_tokens_per_utilization=50_000,
            max_model_len=MAX_MODEL_LEN,
        ),
        step=Step(**{name: times.get(name, 0.0) for name in Step.model_fields}),
        scheduling=Scheduling(base_ms=0.02, per_request_ms=0.004, per_scanned_ms=0.0003),
        loading=Loading(memory_base_ms=6.5, memory_per_rank_ms=0.02, disk_base_ms=60, disk_per_rank_ms=2),
        front_end=FrontEnd(ttft_ms=10, merged_per_adapter=0.006, merge_requests=128),
        serving=Serving(max_num_seqs=512, max_num_batched_tokens=2048),
        behaviour=behaviour_of("0.8.5"),
        fits={"step": Fit(rows=1, mape_percent=0, p95_percent=0, range={}, source="made up")},
        command="made up for tests",
    )
