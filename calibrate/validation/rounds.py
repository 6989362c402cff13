"""The twin beside traffic that was sent in several rounds, and what the rounds themselves say of the uncertainty.

A machine is faster in one round and slower in the next. So in every round the traffic that the fit has seen sets the
twin's tempo anew, and the rest of the same round is compared: what is left over the rounds is the twin's error, and its
spread what the error can be told to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t as student

from calibrate.errors import CalibrationError
from calibrate.fit.served import in_tempo
from calibrate.replay import outcome
from calibrate.runs import MeasuredRun, Outcome
from twin.profile import Profile

CONFIDENCE = 0.99
"""Of every interval: there are several, and one that misses by chance should be rare."""


@dataclass(frozen=True, slots=True)
class Error:
    """Of the twin in one measure: its value over the engine's, less 1; and the ends of the interval."""

    mean: float
    low: float
    high: float

    def beyond(self, tolerance: float) -> bool:
        """Whether the error is larger than tolerated, however the rounds may have fallen out."""
        return self.low > tolerance or self.high < -tolerance

    @property
    def text(self) -> str:
        return f"{100 * self.mean:+.1f} % ({100 * self.low:+.1f} to {100 * self.high:+.1f})"


@dataclass(frozen=True, slots=True)
class Compared:
    """The same traffic in all rounds, in the order of the rounds."""

    measured: tuple[Outcome, ...]
    twin: tuple[Outcome, ...]

    def error(self, measure: str) -> Error:
        """Of a field of `Outcome`."""
        pairs = zip(self.twin, self.measured, strict=True)
        return interval([math.log(getattr(twin, measure) / getattr(measured, measure)) for twin, measured in pairs])

    @property
    def starved_as_measured(self) -> bool:
        """Whether the twin starves in a round as often as the engine does, or the engine does in some rounds only."""
        starved = {measured.starved for measured in self.measured}
        return len(starved) == 2 or {twin.starved for twin in self.twin} == starved


def interval(logarithms: Sequence[float]) -> Error:
    """Mean of the logarithms of ratios, and the interval by Student's t; of two at least."""
    mean = fmean(logarithms)
    half = (
        float(student.ppf(0.5 + CONFIDENCE / 2, len(logarithms) - 1)) * stdev(logarithms) / math.sqrt(len(logarithms))
    )
    return Error(*(math.expm1(each) for each in (mean, mean - half, mean + half)))


def compare(
    served: Sequence[Sequence[MeasuredRun]], others: Sequence[Sequence[MeasuredRun]], profile: Profile
) -> list[Compared]:
    """The twin beside the `others`, each traffic over all rounds; by round what was fitted and what was not.

    Raises:
        CalibrationError: fewer than two rounds, or one of them lacks some of the traffic.
    """
    if len(others) < 2 or len({(len(s), len(o)) for s, o in zip(served, others, strict=True)}) != 1:
        raise CalibrationError("rounds: two or more of the same traffic wanted")
    twin = []
    for seen, runs in zip(served, others, strict=True):
        paced = in_tempo(profile, seen)
        twin.append([outcome(run, paced) for run in runs])
    by_traffic = zip(zip(*others, strict=True), zip(*twin, strict=True), strict=True)
    return [Compared(tuple(run.measured for run in runs), said) for runs, said in by_traffic]
