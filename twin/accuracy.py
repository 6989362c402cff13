"""How far predictions are from the truth: the measures of the papers, and two that flatter less.

Inputs are one-dimensional arrays of equal length, without missing values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def smape(a: ArrayLike, b: ArrayLike) -> float:
    """Symmetric mean absolute percentage error, `100 * mean(|a - b| / (|a| + |b|))`, in %, 0 to 100.

    Agulló et al. 2025 (arXiv 2508.08343); it is about half the relative error. Two zeros differ by nothing.
    """
    first, second = _pair(a, b)
    size = np.abs(first) + np.abs(second)
    return 100 * float(np.mean(np.abs(first - second) / np.where(size > 0, size, 1)))


def mape(true: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute relative error in %. `true` must not hold zeros."""
    return float(_relative_errors(true, predicted).mean())


def p95(true: ArrayLike, predicted: ArrayLike) -> float:
    """95th percentile of the absolute relative error in %. `true` must not hold zeros."""
    return float(np.percentile(_relative_errors(true, predicted), 95))


def macro_f1(true: ArrayLike, predicted: ArrayLike) -> float:
    """Mean of the F1 scores of the classes that occur in either array, 0 to 1."""
    first, second = np.asarray(true), np.asarray(predicted)
    _check(first, second)
    scores = []
    for label in np.union1d(first, second):
        hits = np.count_nonzero((first == label) & (second == label))
        scores.append(2 * hits / (np.count_nonzero(first == label) + np.count_nonzero(second == label)))
    return float(np.mean(scores))


def _relative_errors(true: ArrayLike, predicted: ArrayLike) -> Floats:
    first, second = _pair(true, predicted)
    return 100 * np.abs(second - first) / np.abs(first)


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    _check(first, second)
    return first, second


def _check(a: NDArray[np.generic], b: NDArray[np.generic]) -> None:
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise ValueError(f"expected two arrays of one equal length, not of shapes {a.shape} and {b.shape}")
