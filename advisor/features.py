"""What the models see of a set of adapters: one definition, used in training and in serving.

Every feature is a plain number with a unit. *Mix* features do not change when the same mix is scaled to more
adapters, so an admission limit can be asked of the mix alone; *load* features also depend on how many adapters are
served and on how many slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOMINAL_TPOT_S = 0.05
"""Seconds per output token assumed where a feature counts requests in flight (Little's law)."""

UNITS: dict[str, str] = {
    "rate_mean": "requests/s per adapter",
    "rate_std": "requests/s",
    "rate_min": "requests/s",
    "rate_max": "requests/s",
    "rank_mean": "",
    "rank_std": "",
    "rank_max": "",
    "input_mean": "tokens per request",
    "input_std": "tokens",
    "output_mean": "tokens per request",
    "output_std": "tokens",
    "cv_mean": "gap variation, weighted by rate",
    "token_rate_mean": "tokens/s per adapter",
    "distinct_share": "distinct adapters per request in flight at 50 ms per token, 0 to 1",
    "ttft_limit": "s",
    "adapters": "served adapters N",
    "token_rate": "offered tokens/s",
    "active_adapters": "adapters with a request in flight at 50 ms per token",
    "max_loras": "adapter slots G",
}
"""Every feature and its unit (empty: a pure number)."""

MIX_FEATURES: tuple[str, ...] = tuple(UNITS)[:15]
"""What the admission limit depends on."""
SLOTS_FEATURES: tuple[str, ...] = (*MIX_FEATURES, "adapters", "token_rate", "active_adapters")
"""What the choice of slots depends on."""
SERVING_FEATURES: tuple[str, ...] = (*(name for name in SLOTS_FEATURES if name != "ttft_limit"), "max_loras")
"""What throughput, ITL and TTFT of a given configuration depend on."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mix:
    """A set of adapters as parallel arrays, one entry per adapter."""

    rank: Floats
    """LoRA rank."""
    rate: Floats
    """Mean request rate, requests/s."""
    input_mean: Floats
    """Mean prompt length, tokens."""
    input_std: Floats
    """Standard deviation of the prompt length, tokens."""
    output_mean: Floats
    """Mean answer length, tokens."""
    output_std: Floats
    """Standard deviation of the answer length, tokens."""
    cv: Floats
    """Coefficient of variation of the gaps between requests; 1 is Poisson."""

    def __len__(self) -> int:
        return len(self.rate)

    def take(self, indices: NDArray[np.int64]) -> Mix:
        """The adapters at these positions."""
        return Mix(*(getattr(self, name)[indices] for name in self.__slots__))

    @property
    def token_rate(self) -> float:
        """Offered token rate: sum of rate x (mean input + mean output), tokens/s."""
        return float(self.rate @ (self.input_mean + self.output_mean))


def measure(mix: Mix, *, ttft_limit_s: float, max_loras: int | None = None) -> dict[str, float]:
    """Every feature of a mix that serves all its adapters; `max_loras` only where it is given.

    Lengths and burstiness are means over requests, so busy adapters weigh more.
    """
    share = mix.rate / mix.rate.sum()
    input_mean, output_mean = float(share @ mix.input_mean), float(share @ mix.output_mean)
    in_flight = mix.rate * mix.output_mean * NOMINAL_TPOT_S
    active = float(-np.expm1(-in_flight).sum())
    values = {
        "rate_mean": float(mix.rate.mean()),
        "rate_std": float(mix.rate.std()),
        "rate_min": float(mix.rate.min()),
        "rate_max": float(mix.rate.max()),
        "rank_mean": float(mix.rank.mean()),
        "rank_std": float(mix.rank.std()),
        "rank_max": float(mix.rank.max()),
        "input_mean": input_mean,
        "input_std": _pooled_std(share, mix.input_mean, mix.input_std, input_mean),
        "output_mean": output_mean,
        "output_std": _pooled_std(share, mix.output_mean, mix.output_std, output_mean),
        "cv_mean": float(share @ mix.cv),
        "token_rate_mean": mix.token_rate / len(mix),
        "distinct_share": active / float(in_flight.sum()),
        "ttft_limit": ttft_limit_s,
        "adapters": float(len(mix)),
        "token_rate": mix.token_rate,
        "active_adapters": active,
    }
    if max_loras is not None:
        values["max_loras"] = float(max_loras)
    return values


def vector(values: dict[str, float], names: Sequence[str]) -> NDArray[np.float32]:
    """The named features as one row, shape (1, len(names)), in the precision the ONNX models take."""
    return np.array([[values[name] for name in names]], dtype=np.float32)


def _pooled_std(share: Floats, mean: Floats, std: Floats, pooled_mean: float) -> float:
    """Standard deviation over all requests: within adapters plus between them."""
    return float(np.sqrt(share @ (std**2 + (mean - pooled_mean) ** 2)))
