"""Times of single operators on a GPU, in us, by the bytes they read and the arithmetic they do."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from advisor.derive.gpus.gpu import WEIGHT_BYTES, AllReduce, Attention, Efficiency, Gemm, Gpu, Precision

Floats = NDArray[np.float64]
Number = TypeVar("Number", float, Floats)


class Operators:
    """What the operators of a model take on one GPU."""

    def __init__(self, gpu: Gpu, efficiency: Efficiency) -> None:
        self._gpu, self._efficiency = gpu, efficiency

    def gemm_us(self, tokens: float, inputs: float, outputs: float, precision: Precision) -> float:
        """A product of so many tokens with a matrix of weights, which are read once."""
        weights = WEIGHT_BYTES[precision] * inputs * outputs
        moved = weights + 2 * tokens * (inputs + outputs)
        return self._blended(2 * tokens * inputs * outputs, moved, precision)

    def experts_us(
        self, tokens: float, hidden: float, intermediate: float, *, experts: int, per_token: int, precision: Precision
    ) -> float:
        """A layer of experts: each token passes `per_token` of them, and those that any token passes are read once."""
        read = experts * (1 - (1 - per_token / experts) ** tokens)
        weights = 3 * hidden * intermediate
        moved = WEIGHT_BYTES[precision] * weights * read + 2 * tokens * per_token * (2 * hidden + 3 * intermediate)
        return 2 * self._blended(tokens * per_token * weights, moved / 2, precision)

    def attention_us(self, sequences: float, context: float, kv_bytes_per_token: float) -> float:
        """Attention of so many sequences that each decode one token after `context` tokens, in one layer."""
        return attention_us(
            self._efficiency.attention, sequences, sequences * context * kv_bytes_per_token, self._gpu.bandwidth_gb_s
        )

    def prefill_attention_us(self, tokens: float, context: float, heads: float, head_dim: float) -> float:
        """Attention of so many prompt tokens over `context` tokens on average, in one layer."""
        share = self._precision("bf16").compute
        return 4 * tokens * context * heads * head_dim / (self._gpu.bf16_tflops * share) * 1e-6

    def all_reduce_us(self, tokens: float, hidden: float, gpus: int) -> float:
        """Adding up what the GPUs of a server computed of so many tokens."""
        found = self._efficiency.all_reduce
        if gpus == 1:
            return 0.0
        fixed = 12.0 if found is None else found.fixed_us.get(str(gpus), max(found.fixed_us.values()))
        share = 0.6 if found is None else found.bandwidth
        moved = 2 * tokens * hidden * 2 * (gpus - 1) / gpus
        return fixed + moved / (self._gpu.link_gb_s * share) * 1e-3

    def _blended(self, operations: float, moved: float, precision: Precision) -> float:
        gpu = self._gpu
        tflops = gpu.fp8_tflops if precision == "fp8" and gpu.fp8_tflops else gpu.bf16_tflops
        return gemm_us(self._precision(precision), operations, moved, gpu.bandwidth_gb_s, tflops)

    def _precision(self, precision: Precision) -> Gemm:
        """The fit of a precision; of one that was not measured, that of bf16."""
        return self._efficiency.gemm.get(precision, self._efficiency.gemm["bf16"])


def gemm_us(fit: Gemm, operations: Number, moved: Number, bandwidth_gb_s: float, tflops: float) -> Number:
    """The form of `Gemm`: bytes over GB/s are ns, operations over TFLOP/s are ps."""
    reading = moved / (bandwidth_gb_s * fit.bandwidth) * 1e-3
    arithmetic = operations / (tflops * fit.compute) * 1e-6
    return fit.fixed_us + (reading**fit.blend + arithmetic**fit.blend) ** (1 / fit.blend)


def attention_us(fit: Attention, sequences: Number, moved: Number, bandwidth_gb_s: float) -> Number:
    """The form of `Attention`."""
    reading = moved / (bandwidth_gb_s * fit.bandwidth) * 1e-3
    return ((fit.fixed_us + fit.per_sequence_us * sequences) ** 3 + reading**3) ** (1 / 3)


def all_reduce_us(fit: AllReduce, moved: Number, gpus: int, link_gb_s: float) -> Number:
    """The form of `AllReduce`, of so many bytes that each GPU sends."""
    return fit.fixed_us[str(gpus)] + moved / (link_gb_s * fit.bandwidth) * 1e-3
