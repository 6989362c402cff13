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

from advisor.derive.llm import model_shape
from advisor.derive.lora import CURRENT_MODEL
from calibrate.errors import CalibrationError
from calibrate.fit.regression import regress
from calibrate.kernels.cases import LAYER, Case
from calibrate.kernels.measure import measured
from calibrate.kernels.terms import goes_with

LEAST = 20
"""Layers without which nothing is fitted: as many as the middle and each axis alone come to."""
AXES = ("rank", "slots", "adapters", "tokens")
RESAMPLED = 200
ENDS = (5.0, 95.0)
"""Percentiles of what the resampled layers give: nine of ten lie between, as in a derived Profile."""
KERNELS = ("shrink_us", "expand_us")

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
class Layer:
    """All calls that a layer of Llama-3.1-8B makes with one batch."""

    case: Case
    """The first of them."""
    step_ms: float
    """What as many layers as that model has take."""


@dataclass(frozen=True, slots=True)
class Terms:
    """LoRA's terms of a step of Llama-3.1-8B, ms."""

    ms: Mapping[str, float]
    resampled: Sequence[Mapping[str, float]]
    """The same, of layers drawn anew from those that were timed."""

    def step_ms(self, case: Case) -> float:
        """What LoRA adds to a step with that batch."""
        return sum(self.ms[name] * much for name, much in goes_with(case).items())


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
        times = {kernel: row.get(kernel) for kernel in KERNELS}
        if not all(isinstance(us, int | float) and math.isfinite(us) and us > 0 for us in times.values()):
            raise CalibrationError(f"{path}: {json.dumps(row)[:200]}: {' and '.join(KERNELS)} above 0 wanted")
        about = (str(row.get(name, "unknown")) for name in ("gpu", "vllm", "torch"))
        found.append(Timed(case, {kernel: float(row[kernel]) for kernel in KERNELS}, *about))
    several = sorted({f"{each.gpu} under vLLM {each.vllm}" for each in found})
    if len(several) > 1:
        raise CalibrationError(f"{path}: cases of {', '.join(several)}: those of one card and version wanted")
    return found


def layers(timed: Sequence[Timed]) -> list[Layer]:
    """The layers of which all calls were timed with the same batch."""

    def batch(each: Timed) -> tuple[int, ...]:
        return each.case[2:]

    of_llama = [each for each in timed if (each.case.inputs, each.case.outputs) in LAYER]
    found = (list(calls) for _, calls in groupby(sorted(of_llama, key=batch), key=batch))
    count = model_shape.find(CURRENT_MODEL).layers
    return [
        Layer(calls[0].case, count * sum(each.call_us for each in calls) * 1e-3)
        for calls in found
        if len(calls) == len(LAYER)
    ]


def fit(found: Sequence[Layer], *, seed: int = 0) -> Terms:
    """LoRA's terms out of timed layers.

    Raises:
        CalibrationError: they are too few, or too much alike, to tell the terms apart.
    """
    if len(found) < LEAST:
        raise CalibrationError(f"{len(found)} whole layers: telling LoRA's terms apart takes {LEAST}; time for longer")
    for axis in AXES:
        values = {getattr(each.case, axis) for each in found}
        if len(values) < 2:
            raise CalibrationError(f"all layers have {axis} {values.pop()}: two different ones wanted; time for longer")
    rows = [goes_with(each.case) for each in found]
    work = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]}
    ms = np.array([each.step_ms for each in found])
    random = np.random.default_rng(seed)
    drawn = [random.integers(len(found), size=len(found)) for _ in range(RESAMPLED)]
    middle, *others = (
        regress({name: much[chosen] for name, much in work.items()}, ms[chosen]).coefficients
        for chosen in (np.arange(len(found)), *drawn)
    )
    return Terms(middle, others)


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


def residuals(found: Sequence[Layer], terms: Terms) -> Iterator[Residual]:
    """Of all layers, and of those parts in which the form of a step may not be that of the kernels."""
    parts: dict[str, Callable[[Case], bool]] = {
        "all layers": lambda _: True,
        "without --specialize-active-lora": lambda case: not case.specialize,
        "with it": lambda case: case.specialize,
        "up to 120 tokens": lambda case: case.tokens <= 120,
        "121 to 512 tokens": lambda case: 120 < case.tokens <= 512,
        "more tokens": lambda case: case.tokens > 512,
        "ranks up to 32": lambda case: case.rank <= 32,
        "ranks above 32": lambda case: case.rank > 32,
    }
    for what, belongs in parts.items():
        errors = [terms.step_ms(each.case) / each.step_ms - 1 for each in found if belongs(each.case)]
        if errors:
            yield Residual(what, np.array(errors))
