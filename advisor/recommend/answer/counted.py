"""How far rates are known that were counted: so many requests came, and as many more or fewer might as well have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from advisor.names import counted

NORMAL_90 = 1.645
"""Standard deviations of a normal distribution between which nine of ten values lie."""
ENOUGH = 271
"""Requests whose rate is known to a tenth, nine times of ten: of fewer the answer says what they leave open."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The requests that the rates of an inventory were counted from; bursts leave more open than is told here."""

    requests: int

    @classmethod
    def of(cls, requests: int | None) -> Counted | None:
        """What so many tell; None where nobody says that they were counted."""
        return None if requests is None else cls(requests)

    @classmethod
    def of_few(cls, requests: int | None) -> Counted | None:
        """The same, where that is little."""
        return found if (found := cls.of(requests)) is not None and found.few else None

    @property
    def few(self) -> bool:
        """Whether they tell the rates too roughly for a chance that takes these as known."""
        return self.requests < ENOUGH

    @property
    def least(self) -> float:
        """Times the rates that were counted, what may really come: 19 of 20 times no less than that."""
        return self._bound(self.requests, -NORMAL_90) / self.requests

    @property
    def most(self) -> float:
        """The same, 19 of 20 times no more than that."""
        return self._bound(self.requests + 1, NORMAL_90) / self.requests

    @property
    def told(self) -> str:
        """What they leave open, in words."""
        times = f"{self.least:.2g} to {self.most:.2g} times as much may come (nine times of ten, and more in bursts)"
        return f"the traffic was counted from {counted(self.requests, 'request')} only: {times}"

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return {"requests": self.requests, "rates_range": [round(self.least, 3), round(self.most, 3)]}

    @staticmethod
    def _bound(shape: int, deviations: float) -> float:
        """The mean of which a Poisson count is so many deviations away: a quantile of chi-squared by Wilson and
        Hilferty, beyond which lie 5 % as it should be, but 4 % below where one request was counted."""
        return float(shape * (1 - 1 / (9 * shape) + deviations / (3 * math.sqrt(shape))) ** 3)
