"""Linear models with non-negative coefficients, fitted to relative errors, and what is said about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import lsq_linear

from twin.accuracy import mape, p95
from twin.profile import Fit

Floats = NDArray[np.float64]
DIGITS = 6


@dataclass(frozen=True, slots=True)
class Regression:
    """A fitted model: coefficient by term, and what it makes of the measurements."""

    coefficients: dict[str, float]
    measured: Floats
    predicted: Floats

    def fit(self, source: str, note: str = "", **variables: ArrayLike) -> Fit:
        """The residuals as a Profile keeps them, with the range of the named variables in the data."""
        return describe(self.measured, self.predicted, source, note, **variables)


def regress(terms: Mapping[str, ArrayLike], measured: ArrayLike, weights: ArrayLike = 1.0) -> Regression:
    """Fit `measured ~ sum of coefficient * term`, every coefficient >= 0, by least squares of relative residuals.

    Args:
        terms: name -> values, shape (n,).
        measured: positive, shape (n,).
        weights: of the residuals, shape (n,) or one for all.
    """
    target = np.asarray(measured, dtype=np.float64)
    matrix = np.column_stack(
        [np.broadcast_to(np.asarray(term, dtype=np.float64), target.shape) for term in terms.values()]
    )
    scale = np.abs(matrix).max(axis=0)
    scale[scale == 0] = 1.0  # a term that no row has gets the coefficient 0
    weight = np.broadcast_to(np.asarray(weights, dtype=np.float64), target.shape)
    relative = matrix / scale * (weight / target)[:, np.newaxis]
    solution = lsq_linear(relative, weight, bounds=(0, np.inf), method="bvls").x / scale
    solution = np.maximum(solution, 0.0)  # rounding leaves a bound by 1e-19
    coefficients = {name: significant(value) for name, value in zip(terms, solution, strict=True)}
    return Regression(coefficients, target, matrix @ np.array(list(coefficients.values())))


def describe(measured: ArrayLike, predicted: ArrayLike, source: str, note: str = "", **variables: ArrayLike) -> Fit:
    """The residuals of any model as a Profile keeps them."""
    return Fit(
        rows=len(np.asarray(measured)),
        mape_percent=round(mape(measured, predicted), 2),
        p95_percent=round(p95(measured, predicted), 2),
        range={name: (significant(np.min(values)), significant(np.max(values))) for name, values in variables.items()},
        source=source,
        note=note,
    )


def significant(value: float) -> float:
    """`value` to `DIGITS` significant digits, so that files stay readable and the same everywhere."""
    return float(f"{float(value):.{DIGITS}g}")
