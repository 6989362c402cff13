"""What the figures of a GPU may be, and which unit was likely meant by one that no GPU has.

Bounds reach from the slowest that vLLM runs on to two or three times the fastest that is announced. A slip of a unit is
a thousand, and lies beyond one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_SPEEDS = {"TB/s": 1e3, "MB/s": 1e-3, "bytes/s": 1e-9}
_ARITHMETIC = {"PFLOP/s": 1e3, "GFLOP/s": 1e-3, "FLOP/s": 1e-12}
_TELLING = 1e18
"""Beyond, a number is no figure in whatever unit."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Lowest and highest plausible value of a figure."""

    low: float
    high: float
    others: Mapping[str, float] = field(default_factory=dict)
    """Units that it is given in by mistake, each in the unit that it should be in."""

    @property
    def words(self) -> str:
        """Both ends, as descriptions have them."""
        return f"{self.low:,g} to {self.high:,.0f}"

    def holds(self, value: float) -> bool:
        """Whether a GPU may have so much."""
        return self.low <= value <= self.high

    def slip(self, value: float) -> str | None:
        """What a value beyond the bounds would be, had another unit been meant: "900 if that is in TB/s"."""
        if self.holds(value) or not 0 < value < _TELLING:
            return None
        for unit, size in self.others.items():
            if self.holds(value * size):
                return f"{value * size:.4g} if that is in {unit}"
        return None


BOUNDS: Mapping[str, Bounds] = {
    # A slice of an A100 has 4.75 GiB, small cards of notebooks 4; an MI355X 268, Rubin Ultra is to have 1 TB.
    "memory_gib": Bounds(2, 2_000, {"MiB": 1 / 1024, "bytes": 2.0**-30, "TB": 1e12 / 2**30}),
    # A Jetson Orin Nano has 68 GB/s, a GTX 1650 128; a B300 8,000, Rubin 22,000.
    "bandwidth_gb_s": Bounds(50, 60_000, _SPEEDS),
    # A GTX 1650 has 6 TFLOP/s in 16 bits, an A2 18; a B300 2,500, Rubin about 4,000.
    "bf16_tflops": Bounds(5, 15_000, _ARITHMETIC),
    # A notebook's RTX 4050 has some 70 TFLOP/s, at its lowest power a third of it; a B300 5,000, Rubin 17,500.
    "fp8_tflops": Bounds(10, 50_000, _ARITHMETIC),
    # PCIe 3 with four lanes has 3.9 GB/s; NVLink 5 has 900, the next 1,800 (0.9 and 1.8 are of those who write TB/s).
    "link_gb_s": Bounds(2, 3_600, _SPEEDS),
    # A Jetson Orin Nano goes up to 0.6 GHz, an L2 or an A2 to 1.7; overclocked cards to 3.3.
    "clock_ghz": Bounds(0.5, 10, {"MHz": 1e-3, "kHz": 1e-6, "Hz": 1e-9}),
}
"""By the names that an inventory has for them."""
