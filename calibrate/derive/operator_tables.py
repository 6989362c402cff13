"""Measured operator times -> the efficiencies of the catalogue: `python -m calibrate operators`.

The tables are those of `aiconfigurator-core` (Apache-2.0, NVIDIA): its wheel, unpacked. They hold a hundred thousand
times a GPU; four numbers a precision say the same to about a twentieth.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.derive.gpus.gpu import AllReduce, Attention, Catalogue, Efficiency, Gemm, Gpu, Precision
from advisor.derive.operators import all_reduce_us, attention_us, gemm_us
from calibrate.errors import CalibrationError
from twin.progress import watched

Floats = NDArray[np.float64]

PRECISIONS: dict[str, Precision] = {"bfloat16": "bf16", "fp8": "fp8"}
LEAST_BYTES = 8e6
"""Of weights: smaller matrices are no model's, and fit into a cache, as they do not in serving."""
LIGHT, HEAVY = 256, 8192
"""Tokens: decoding is up to the first, no step is above the second."""
OUTLIERS = 0.1
"""Relative error from which a measurement counts less and less."""


KINDS = {
    "a100": ("a100-80gb", "a100_sxm"),
    "l40s": ("l40s", "l40s"),
    "h100": ("h100-80gb", "h100_sxm"),
    "h200": ("h200", "h200_sxm"),
    "b200": ("b200", "b200_sxm"),
    "rtx-pro-6000": ("rtx-pro-6000", "rtx_pro_6000_server"),
}
"""Kind of efficiencies -> the GPU that was measured, by our name and by the tables'."""


def refit(found: Catalogue, systems: Path, source: str) -> Catalogue:
    """The catalogue with efficiencies fitted anew; those without a table stay.

    Raises:
        CalibrationError: a table is missing, or cannot be read.
    """
    fitted = dict(found.efficiencies)
    for kind, (name, folder) in watched(KINDS.items(), "fitting operators"):
        gpu, tables = found.gpus[name], systems / folder
        fitted[kind] = Efficiency(
            source=f"{source}, operators of vLLM on {folder}",
            gemm=fit_gemm(tables, gpu),
            attention=fit_attention(tables, gpu),
            all_reduce=fit_all_reduce(tables, gpu),
        )
    return found.model_copy(update={"efficiencies": fitted})


def fit_gemm(folder: Path, gpu: Gpu) -> dict[Precision, Gemm]:
    """How fast matrices are multiplied with weights of each precision that was measured."""
    table = _read(folder, "gemm", "gemm_perf")
    found = dict[Precision, Gemm]()
    for name, precision in PRECISIONS.items():
        rows = table[table.gemm_dtype == name]
        weight = 2.0 if precision == "bf16" else 1.0
        rows = rows[(rows.n * rows.k * weight >= LEAST_BYTES) & (rows.n >= 1024) & (rows.k >= 1024)]
        rows = rows[(rows.m <= HEAVY) & (rows.n <= 65536) & (rows.k <= 28672)]
        rows = rows.groupby(["m", "n", "k"], as_index=False).latency.min()
        if not len(rows):
            continue
        m, n, k, measured = (rows[column].to_numpy(dtype=np.float64) for column in ("m", "n", "k", "latency"))
        moved, operations = weight * n * k + 2 * m * (n + k), 2 * m * n * k
        tflops = gpu.bf16_tflops if precision == "bf16" else gpu.fp8_tflops

        def model(x: Floats, moved: Floats = moved, operations: Floats = operations, tflops: float = tflops) -> Floats:
            fit = Gemm.model_construct(fixed_us=x[0], bandwidth=x[1], compute=x[2], blend=1 + x[3])
            return gemm_us(fit, operations, moved, gpu.bandwidth_gb_s, tflops)

        # Decoding is most of what is served.
        weights = np.where(m <= LIGHT, 1.0, 0.4)
        x, errors = _fitted(model, 1e3 * measured, [3.0, 0.8, 0.6, 1.0], weights)
        light = np.abs(errors[m <= LIGHT])
        found[precision] = Gemm(
            fixed_us=x[0], bandwidth=x[1], compute=x[2], blend=1 + x[3], residual=float(np.median(light))
        )
    return found


def fit_attention(folder: Path, gpu: Gpu) -> Attention:
    """How fast attention reads the KV cache while decoding."""
    rows = _read(folder, "attention", "generation_attention_perf")
    if "window_size" in rows:
        rows = rows[rows.window_size == 0]
    rows = rows[rows.kv_cache_dtype.isin(["bfloat16", "float16"]) & rows.head_dim.isin([64, 128])]
    rows = rows[(rows.num_heads >= 8) & (rows.batch_size <= 512)]
    keys = ["batch_size", "num_heads", "num_key_value_heads", "head_dim", "step"]
    rows = rows.groupby(keys, as_index=False).latency.min()
    moved = (rows.batch_size * (rows.step + 1) * 4 * rows.num_key_value_heads * rows.head_dim).to_numpy(
        dtype=np.float64
    )
    # A step of serving reads 10 MB to 4 GB in a layer; below, it is the launch that counts.
    served = (moved < 4e9) & (rows.step.to_numpy() >= 63)
    sequences = rows.batch_size.to_numpy(dtype=np.float64)[served]
    moved, measured = moved[served], 1e3 * rows.latency.to_numpy(dtype=np.float64)[served]

    def model(x: Floats) -> Floats:
        fit = Attention.model_construct(fixed_us=x[0], per_sequence_us=x[1], bandwidth=x[2])
        return attention_us(fit, sequences, moved, gpu.bandwidth_gb_s)

    x, errors = _fitted(model, measured, [8.0, 0.05, 0.7], np.ones_like(measured))
    return Attention(fixed_us=x[0], per_sequence_us=x[1], bandwidth=x[2], residual=float(np.median(np.abs(errors))))


def fit_all_reduce(folder: Path, gpu: Gpu) -> AllReduce | None:
    """How fast GPUs add up what they computed, in CUDA graphs as vLLM does; None where it was not measured."""
    try:
        rows = _read(folder, "comm", "custom_allreduce_perf")
    except CalibrationError:
        return None
    rows = rows[rows.backend.str.contains("graph") & (rows.num_gpus <= 8)]
    fixed, shares = dict[str, float](), list[float]()
    for gpus, group in rows.groupby("num_gpus"):
        # A message of 2-byte numbers, of which every GPU sends twice the part that is not its own.
        moved = group.message_size.to_numpy(dtype=np.float64) * 2 * 2 * (int(gpus) - 1) / int(gpus)
        measured = 1e3 * group.latency.to_numpy(dtype=np.float64)

        def model(x: Floats, moved: Floats = moved, gpus: int = int(gpus)) -> Floats:
            return all_reduce_us(
                AllReduce.model_construct(fixed_us={str(gpus): x[0]}, bandwidth=x[1]), moved, gpus, gpu.link_gb_s
            )

        x, _ = _fitted(model, measured, [5.0, 0.5], np.ones_like(measured))
        fixed[str(gpus)] = x[0]
        shares.append(x[1])
    return AllReduce(fixed_us=fixed, bandwidth=float(np.median(shares))) if fixed else None


def _read(folder: Path, kind: str, name: str) -> Any:
    """The newest of vLLM's tables of a kind."""
    import pandas as pd

    tables = sorted(folder.glob(f"{kind}/vllm/*/{name}.parquet"))
    if not tables:
        raise CalibrationError(f"{folder}: no {kind}/vllm/*/{name}.parquet; unpack aiconfigurator-core's wheel")
    try:
        return pd.read_parquet(tables[-1])
    except ImportError as error:
        raise CalibrationError(f"{tables[-1]}: reading it takes pyarrow: pip install pyarrow") from error


def _fitted(
    model: Callable[[Floats], Floats], measured: Floats, start: list[float], weights: Floats
) -> tuple[list[float], Floats]:
    """Positive parameters that come nearest, by relative error, and those errors."""
    from scipy.optimize import least_squares

    def errors(logarithms: Floats) -> Floats:
        found: Floats = np.log(model(np.exp(logarithms)) / measured)
        return found

    best = least_squares(lambda x: weights * errors(x), np.log(start), loss="soft_l1", f_scale=OUTLIERS)
    return [float(f"{value:.4g}") for value in np.exp(best.x)], errors(best.x)
