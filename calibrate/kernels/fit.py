"""Timed cases -> LoRA's terms of a step, by least squares of relative errors, each with its interval."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibrate.errors import CalibrationError
from calibrate.fit.regression import regress
from calibrate.kernels.cases import LAYER, Case
from calibrate.kernels.measure import measured
from calibrate.kernels.terms import OF_KERNEL, goes_with

LEAST = 60
"""Cases without which nothing is fitted: as many as the middle and each axis alone come to."""
AXES = ("rank", "slots", "adapters", "tokens")
RESAMPLED = 200
ENDS = (5.0, 95.0)
"""Percentiles of what the resampled cases give: nine of ten lie between, as in a derived Profile."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Timed:
    """A case and what its kernels took."""

    case: Case
    us: Mapping[str, float]
    """Kernel -> us of a call."""
    gpu: str
    vllm: str
    torch: str

    @property
    def call_us(self) -> float:
        """Both kernels."""
        return sum(self.us.values())


@dataclass(frozen=True, slots=True)
class Terms:
    """What the cases come to: kernel -> term -> us for each of what it goes with (`calibrate.kernels.terms`)."""

    us: Mapping[str, Mapping[str, float]]
    resampled: Sequence[Mapping[str, Mapping[str, float]]]
    """The same, of cases drawn anew from those that were timed."""

    def call_us(self, case: Case) -> float:
        """What a call takes by them."""
        return sum(
            self.us[kernel][name] * much for kernel, terms in goes_with(case).items() for name, much in terms.items()
        )


def read(path: Path) -> list[Timed]:
    """The cases that `python -m calibrate kernels` timed.

    Raises:
        CalibrationError: the file cannot be read, or holds no such cases, or those of several cards or versions.
    """
    try:
        rows = measured(path) if path.is_file() else None
    except UnicodeDecodeError as error:
        raise CalibrationError(f"{path}: not the rows that `python -m calibrate kernels` writes: {error}") from error
    if rows is None:
        raise CalibrationError(f"{path}: no such file; `python -m calibrate kernels` writes it on a GPU")
    found = []
    for case, row in rows.items():
        times = {kernel: row.get(kernel) for kernel in OF_KERNEL}
        if not all(isinstance(us, int | float) and math.isfinite(us) and us > 0 for us in times.values()):
            raise CalibrationError(f"{path}: {json.dumps(row)[:200]}: {' and '.join(OF_KERNEL)} above 0 wanted")
        about = (str(row.get(name, "unknown")) for name in ("gpu", "vllm", "torch"))
        found.append(Timed(case, {kernel: float(row[kernel]) for kernel in OF_KERNEL}, *about))
    several = sorted({f"{each.gpu} under vLLM {each.vllm}" for each in found})
    if len(several) > 1:
        raise CalibrationError(f"{path}: cases of {', '.join(several)}: those of one card and version wanted")
    return found


def fit(timed: Sequence[Timed], *, seed: int = 0) -> Terms:
    """LoRA's terms out of timed cases.

    Raises:
        CalibrationError: they are too few, or too much alike, to tell the terms apart.
    """
    if len(timed) < LEAST:
        raise CalibrationError(f"{len(timed)} cases: telling LoRA's terms apart takes {LEAST}; time kernels for longer")
    for axis in AXES:
        values = {getattr(each.case, axis) for each in timed}
        if len(values) < 2:
            raise CalibrationError(f"all cases have {axis} {values.pop()}: two different ones wanted; time for longer")
    work, us = _work(timed), {kernel: np.array([each.us[kernel] for each in timed]) for kernel in OF_KERNEL}
    for kernel, terms in OF_KERNEL.items():
        of_kernel = np.column_stack([work[kernel][name] for name in terms])
        if np.linalg.matrix_rank(of_kernel / of_kernel.max(axis=0)) < len(terms):
            raise CalibrationError(f"{len(timed)} cases tell no terms of {kernel} apart: time kernels for longer")
    random = np.random.default_rng(seed)
    drawn = (random.integers(len(timed), size=len(timed)) for _ in range(RESAMPLED))
    return Terms(_fitted(work, us, np.arange(len(timed))), [_fitted(work, us, each) for each in drawn])


def _work(timed: Sequence[Timed]) -> dict[str, dict[str, Floats]]:
    rows = [goes_with(each.case) for each in timed]
    return {
        kernel: {name: np.array([row[kernel][name] for row in rows], dtype=np.float64) for name in terms}
        for kernel, terms in OF_KERNEL.items()
    }


def _fitted(
    work: Mapping[str, Mapping[str, Floats]], us: Mapping[str, Floats], chosen: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    return {
        kernel: regress({name: much[chosen] for name, much in terms.items()}, us[kernel][chosen]).coefficients
        for kernel, terms in work.items()
    }


@dataclass(frozen=True, slots=True)
class Residual:
    """How far the terms are off what was timed."""

    what: str
    errors: Floats
    """Predicted over measured, less 1."""

    @property
    def mean(self) -> float:
        """Without sign."""
        return float(np.abs(self.errors).mean())

    @property
    def p95(self) -> float:
        """Without sign."""
        return float(np.percentile(np.abs(self.errors), 95))

    @property
    def bias(self) -> float:
        """With it."""
        return float(self.errors.mean())


def residuals(timed: Sequence[Timed], terms: Terms) -> Iterator[Residual]:
    """Of all calls, of whole layers, and of those parts in which the form of a step may not be that of the kernels."""
    parts: dict[str, Callable[[Case], bool]] = {
        "all calls": lambda _: True,
        "without --specialize-active-lora": lambda case: not case.specialize,
        "with it": lambda case: case.specialize,
        "up to 120 tokens": lambda case: case.tokens <= 120,
        "121 to 512 tokens": lambda case: 120 < case.tokens <= 512,
        "more tokens": lambda case: case.tokens > 512,
        "ranks up to 32": lambda case: case.rank <= 32,
        "ranks above 32": lambda case: case.rank > 32,
    }
    for what, belongs in parts.items():
        errors = [terms.call_us(each.case) / each.call_us - 1 for each in timed if belongs(each.case)]
        if errors:
            yield Residual(what, np.array(errors))
    layers = [
        sum(terms.call_us(each.case) for each in layer) / sum(each.call_us for each in layer) - 1
        for layer in whole_layers(timed)
    ]
    if layers:
        yield Residual("layers of Llama-3.1-8B", np.array(layers))


def whole_layers(timed: Sequence[Timed]) -> Iterator[list[Timed]]:
    """The calls of a layer of Llama-3.1-8B, where all of them were timed with the same batch."""

    def batch(each: Timed) -> tuple[int, ...]:
        return each.case[2:]

    of_llama = [each for each in timed if (each.case.inputs, each.case.outputs) in LAYER]
    for _, calls in groupby(sorted(of_llama, key=batch), key=batch):
        if len(found := list(calls)) == len(LAYER):
            yield found
