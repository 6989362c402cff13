"""What a configuration is asked to achieve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from advisor.errors import InputError
from twin.service_level import STARVED_BELOW, TTFT_LIMIT_S


class ObjectiveName(StrEnum):
    """What the objectives of `advisor recommend` are called."""

    STEADY = "steady"
    LATENCY = "latency"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What serving a set of adapters under given flags is expected to be like."""

    throughput_tok_s: float
    """Processed input and output tokens per second."""
    share: float
    """Throughput over the offered token rate, 0 to 1."""
    itl_ms: float
    """Mean inter-token latency, ms."""
    ttft_ms: float
    """Mean time to first token, ms."""
    kv_capacity_tokens: int
    """Tokens the KV cache holds."""
    chance: float
    """How likely an hour keeps the objective (for `latency`: is steady), 0 to 1."""
    required_chance: float
    """How likely it has to be before it is recommended."""
    itl_margin: float = 1.0
    """Times `itl_ms` is what 19 of 20 steady hours keep below."""
    shortages: tuple[str, ...] = ()
    """What fixed settings leave too little of, each with its numbers; the other figures know nothing of that."""
    refused_share: float = 0.0
    """Of the requests, those longer than the server takes; the other figures are of the rest."""

    @property
    def likely(self) -> bool:
        """Whether the objective is likely enough to be kept."""
        return self.chance >= self.required_chance

    @property
    def starved(self) -> bool:
        """Whether requests starve (the papers' rule); what likely keeps its objective does not."""
        return not self.likely and self.share < STARVED_BELOW


@dataclass(frozen=True, slots=True)
class Objective:
    """One of the objectives with its limits.

    Raises:
        InputError: a limit that is not positive, or an ITL limit for an objective that knows none.
    """

    name: ObjectiveName = ObjectiveName.STEADY
    ttft_limit_s: float = TTFT_LIMIT_S
    """Mean TTFT above this is not steady, seconds."""
    itl_limit_s: float | None = None
    """Largest mean ITL accepted, seconds; for `latency` only."""

    def __post_init__(self) -> None:
        if not 0 < self.ttft_limit_s < float("inf"):
            raise InputError(f"the TTFT limit must be above 0, not {self.ttft_limit_s:g} s")
        if self.itl_limit_s is not None:
            if self.name is not ObjectiveName.LATENCY:
                raise InputError(f"an ITL limit belongs to the objective latency; {self.name} has none")
            if not 0 < self.itl_limit_s < float("inf"):
                raise InputError(f"the ITL limit must be above 0, not {self.itl_limit_s:g} s")

    @property
    def trees(self) -> Literal["steady", "published"]:
        """The objective that the trees were trained for; `latency` starts from the steady ones."""
        return "published" if self.name is ObjectiveName.PUBLISHED else "steady"

    def steady(self, expected: Expectation) -> bool:
        """Not starved, and the mean TTFT within the limit."""
        kept = not expected.starved if self.name is ObjectiveName.PUBLISHED else expected.likely
        return kept and expected.ttft_ms <= self.ttft_limit_s * 1000

    def missed_by(self, measures: Mapping[str, Any]) -> list[str]:
        """The conditions that a simulated hour fails, each with its numbers; empty when the objective is kept."""
        missed = []
        if measures["oom"]:
            missed.append("the server does not start: out of memory")
        if measures["starved"]:
            missed.append("requests starve")
        limits = {"ttft_ms": None if self.name is ObjectiveName.PUBLISHED else self.ttft_limit_s}
        for key, limit_s in (limits | {"itl_ms": self.itl_limit_s}).items():
            if limit_s is not None and measures[key] is not None and measures[key] > 1e3 * limit_s:
                missed.append(f"{key.removesuffix('_ms').upper()} {measures[key]:,.1f} ms > {1e3 * limit_s:g} ms")
        return missed

    def misses(self, expected: Expectation) -> list[str]:
        """The conditions that the expectation fails, each with its numbers; empty when the objective is met.

        Who starves is for the chance to say, which was trained on just that; the expected throughput is a mean.
        """
        missed = []
        if self.name is not ObjectiveName.PUBLISHED and expected.ttft_ms > self.ttft_limit_s * 1000:
            missed.append(f"TTFT {expected.ttft_ms:.1f} ms > {self.ttft_limit_s * 1000:g} ms")
        if not expected.likely:
            hour = "an unstarved hour" if self.name is ObjectiveName.PUBLISHED else "a steady hour"
            missed.append(f"chance of {hour} {expected.chance:.1%}, below {expected.required_chance:.0%}")
        missed += expected.shortages
        likely_ms = expected.itl_ms * expected.itl_margin
        if self.itl_limit_s is not None and likely_ms > self.itl_limit_s * 1000:
            missed.append(
                f"ITL {expected.itl_ms:.2f} ms, in one of 20 hours {likely_ms:.2f} ms > {self.itl_limit_s * 1000:g} ms"
            )
        return missed
