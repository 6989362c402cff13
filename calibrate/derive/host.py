"""What a step takes on the host, out of measured servers without LoRA: `python -m calibrate host`."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advisor.derive.gpus.gpu import catalogue as gpus
from advisor.derive.llm.model_shape import catalogue as models
from advisor.derive.operators import Operators
from advisor.derive.step import StepModel
from calibrate.errors import CalibrationError

RATES = {
    ("codegen", 0): 5.0,
    ("codegen", 1): 10.0,
    ("general", 0): 8.0,
    ("general", 1): 20.0,
    ("general-lite", 0): 3.0,
    ("general-lite", 1): 6.0,
    ("roleplay", 0): 6.0,
}
"""Requests/s of a stage; of stages before the last of a kind they are not told, and lie somewhere below."""
CONTEXT, FRESH = 620.0, 250.0
"""Tokens that a request holds on average (a prompt of some 500 and half of an answer of 240), and those of its prompt
that no prefix cache had: neither was recorded, and at light load neither matters."""
GPU = "h100-80gb"
"""What the servers ran on."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One rate of a measured server, and what its steps take by their operators alone."""

    model: str
    tensor_parallel: int
    workload: str
    itl_ms: float
    operators_ms: float

    def error(self, host_ms: float) -> float:
        """Of the ITL with such a share of the host, relative."""
        return (self.operators_ms + host_ms) / self.itl_ms - 1


def stages(path: Path) -> list[Stage]:
    """The stages of measured servers whose rates are known, as `runs.csv` of vLLM 0.15 without LoRA has them.

    Raises:
        CalibrationError: the file is no such table.
    """
    operators = Operators(gpus().gpus[GPU], gpus().efficiencies[gpus().gpus[GPU].kind])
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [found for row in csv.DictReader(file) if (found := _stage(row, operators))]
    except OSError as error:
        raise CalibrationError(f"{path}: cannot read the table: {error.strerror}") from error
    except (KeyError, ValueError, TypeError) as error:
        raise CalibrationError(f"{path}: not a table of servers without LoRA: {error!r}") from error


def _stage(row: Mapping[str, str], operators: Operators) -> Stage | None:
    """A row as a stage; None where its rate or its model is not known."""
    rate, shape = RATES.get((row["workload"], int(row["stage"]))), models().get(row["model"])
    if rate is None or shape is None:
        return None
    gpus_, itl_ms = round(float(row["tensor_parallel"])), float(row["itl_mean_ms"])
    steps = StepModel(shape, operators, tensor_parallel=gpus_, host_ms=0.0)
    batch = rate * float(row["e2e_mean_ms"]) / 1e3  # Little's law
    fresh = rate * FRESH * itl_ms / 1e3  # prompt tokens that come in a step
    prompts = steps.prefill_ms(batch + fresh, CONTEXT / 2) - steps.prefill_ms(batch, CONTEXT / 2)
    return Stage(row["model"], gpus_, row["workload"], itl_ms, steps.decode_ms(batch, CONTEXT) + prompts)


def fit(found: list[Stage]) -> float:
    """The host's share that comes nearest, ms, by relative error; every model counts as much as any other."""
    times = Counter((each.model, each.tensor_parallel) for each in found)
    weight = np.array([1 / times[each.model, each.tensor_parallel] for each in found])
    scale = np.array([1 / each.itl_ms for each in found])
    left = np.array([each.itl_ms - each.operators_ms for each in found])
    return float((weight * scale * scale * left).sum() / (weight * scale * scale).sum())
