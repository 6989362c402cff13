"""Which workloads the zoo is trained on: mixes spread evenly over what a server may meet, from one seed.

Half of the mixes have the papers' rates (three classes dealt out evenly), the others log-normal ones; half have the
papers' request lengths. Fewer mixes of the same seed are the first ones of more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import lognorm, qmc

from advisor.mix import Mix

Floats = NDArray[np.float64]

RATES = (3.2, 1.6, 0.8, 0.4, 0.2, 0.1, 0.05, 0.025, 0.0125, 0.00625, 0.003125)
"""The papers' request rates, requests/s."""
RANKS = (8, 16, 32, 64)
"""Adapter ranks; the papers use the first three."""
SLOTS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256, 320, 384)
"""Slot counts simulated, where memory allows them."""
MAX_ADAPTERS = 1024
"""Most adapters served at once."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How much is simulated."""

    mixes: int
    duration_s: float
    """Simulated time of a run."""
    slots: tuple[int, ...]
    """Slot counts tried where memory allows them, ascending; where it does not, the most that it allows."""
    max_adapters: int
    """Most adapters tried."""


FULL = Grid(mixes=240, duration_s=3600.0, slots=SLOTS, max_adapters=MAX_ADAPTERS)
SMALL = Grid(mixes=30, duration_s=1200.0, slots=(1, 8, 32, 64, 128, 256), max_adapters=512)


@dataclass(frozen=True, slots=True)
class Classes:
    """A few values, each for an equal share of the adapters."""

    values: tuple[float, ...]

    def quantile(self, unit: Floats) -> Floats:
        """The values at these points of [0, 1)."""
        return np.array(self.values, dtype=np.float64)[(unit * len(self.values)).astype(np.int64)]


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Values spread log-normally; `sigma` is the standard deviation of their logarithm."""

    mean: float
    sigma: float

    def quantile(self, unit: Floats) -> Floats:
        """The values at these points of [0, 1)."""
        scale = self.mean * np.exp(-(self.sigma**2) / 2)
        return np.asarray(lognorm.ppf(unit, s=max(self.sigma, 1e-6), scale=scale), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Request lengths in tokens, the same for every adapter."""

    input_mean: float
    input_std: float
    output_mean: float
    output_std: float
    correlation: float


PAPER_LENGTHS = Lengths(223, 191, 196, 181, -0.35)
"""ShareGPT as the papers' measurements drew it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the adapters of one mix are made; any first few of them have nearly the rates and ranks of all."""

    number: int
    """Place in the sequence of mixes, and the seed of the order in which adapters come."""
    rates: Classes | LogNormal
    """Requests/s."""
    ranks: Classes
    lengths: Lengths

    def adapters(self, count: int) -> Mix:
        """The first `count` adapters, at most `MAX_ADAPTERS`."""
        rate, rank = _dealing(self.number)[:count].T
        lengths = self.lengths
        means_and_stds = (lengths.input_mean, lengths.input_std, lengths.output_mean, lengths.output_std)
        constants = (np.full(count, float(value)) for value in (*means_and_stds, 1.0))
        return Mix(self.ranks.quantile(rank), self.rates.quantile(rate), *constants)


def sample(count: int, seed: int) -> list[Recipe]:
    """The first `count` mixes of a space-filling sequence (scrambled Sobol)."""
    points = qmc.Sobol(15, scramble=True, rng=np.random.default_rng(seed)).random_base2((count - 1).bit_length())
    return [
        Recipe(number, _rates(point[:4]), _ranks(point[4:9]), _lengths(point[9:]))
        for number, point in enumerate(points[:count])
    ]


def _rates(point: Floats) -> Classes | LogNormal:
    if point[0] < 0.5:
        return Classes(tuple(sorted(Classes(RATES).quantile(point[1:]).tolist())))
    return LogNormal(mean=_log_scaled(point[1], 0.003, 1.6), sigma=1.2 * float(point[2]))


def _ranks(point: Floats) -> Classes:
    """Three classes or, for two mixes in five, one; rank 64 may occur in one mix of four."""
    known = Classes(RANKS if point[0] < 0.25 else RANKS[:3])
    return Classes(tuple(sorted(known.quantile(point[2:] if point[1] < 0.6 else point[2:3]).tolist())))


def _lengths(point: Floats) -> Lengths:
    if point[0] < 0.5:
        return PAPER_LENGTHS
    input_mean, output_mean = _log_scaled(point[1], 50, 1000), _log_scaled(point[2], 20, 600)
    spread = 0.5 + 0.7 * point[3:5]
    return Lengths(
        input_mean, float(spread[0]) * input_mean, output_mean, float(spread[1]) * output_mean, -0.35 * float(point[5])
    )


def _log_scaled(unit: float, low: float, high: float) -> float:
    return float(low * (high / low) ** unit)


@cache
def _dealing(number: int) -> Floats:
    """Where in the distributions of rates and ranks each adapter of a mix lies, in [0, 1), shape (MAX_ADAPTERS, 2)."""
    return np.asarray(qmc.Sobol(2, scramble=True, rng=np.random.default_rng([number, 2])).random(MAX_ADAPTERS))
