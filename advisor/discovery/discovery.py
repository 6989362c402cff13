"""What was found out about adapters, wherever it was looked for; what is not known is None, never a guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Tokens = Mapping[str, float]
"""Lengths of requests as an inventory has them: {"mean": 223.0, "std": 191.0}, or quantiles: {"p50": 120.0, ...}."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is asked of an adapter, or of the base model."""

    requests: int | None = None
    """Those that were counted."""
    rate: float | None = None
    """Requests/s."""
    input: Tokens | None = None
    output: Tokens | None = None
    cv: float | None = None
    """Coefficient of variation of the gaps between requests."""
    shared_prefix: int | None = None
    """Tokens with which every request begins."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of time in which rates are scaled."""

    duration_s: float
    scale: float


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter, as far as it is known."""

    name: str
    rank: int | None = None
    source: str | None = None
    """Path or hub id that it is loaded from."""
    traffic: Traffic = Traffic()
    target_modules: tuple[str, ...] = ()
    """Modules that it touches; empty where nothing tells, or it touches all."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that looked like an adapter and cannot be served."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """Adapters, traffic and settings that were found."""

    adapters: tuple[Adapter, ...] = ()
    base: Traffic | None = None
    """Requests that name no adapter; None where nothing tells whether there are any."""
    lengths: Traffic | None = None
    """Lengths of those that have none of their own."""
    model: str | None = None
    server: Mapping[str, int | float] = field(default_factory=dict)
    """Settings in force, by vLLM's names."""
    phases: tuple[Phase, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be known, and what was taken for granted: a line each."""
    requests: int | None = None
    """Those that the rates were counted from; None where there are no rates."""
    busiest_hour: float | None = None
    """Times the most that rates and phases say, what the busiest hour brought; None where that is no more than chance
    brings, or nothing tells."""
    complete: bool = False
    """Whether all traffic was seen, so that an adapter that is not among these was not asked at all."""

    def noting(self, *notes: str) -> Discovery:
        """The same with further notes."""
        return replace(self, notes=(*self.notes, *notes))
