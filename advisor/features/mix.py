"""A set of adapters as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
