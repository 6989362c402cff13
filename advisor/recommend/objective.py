"""What a configuration is asked to achieve."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from advisor.errors import InputError
from twin.service_level import STARVED_BELOW, TTFT_LIMIT, Limit, measure, words

LEAST_TTFT_LIMIT_S, MOST_TTFT_LIMIT_S = 0.5, 30.0
"""Limits of the mean TTFT that the models were trained on. Where a percentile is limited, they are asked whether the
mean keeps the same, or the nearest of these; the percentile is judged beside it."""

PERCENTILES_OFF = 2.0
"""Times what is predicted of a P95 or P99 is what a simulated hour may bring, or the inverse of that."""
BEST_GUESS = 0.5
"""A chance from which on the models rather hold that an hour keeps the objective than that it does not."""
HAIR = 1e-9
"""Times that differ by such a share read alike: products of decimal numbers are off by less, and digits that are shown
differ by more."""
SECOND_MS = 1e3


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
    percentiles: Mapping[str, float] = field(default_factory=dict)
    """Percentiles of ITL and TTFT, ms, by their names among measures: `ttft_p99_ms`."""
    margins: Mapping[str, float] = field(default_factory=dict)
    """By such names (`itl_ms`, `ttft_p99_ms`): times what is expected is what 19 of 20 steady hours keep below."""
    shortages: tuple[str, ...] = ()
    """What fixed settings leave too little of, each with its numbers; the other figures know nothing of that."""
    hours: int = 0
    """Simulated hours that the figures are means of; 0: the models predict them."""
    one_token: bool = False
    """Whether no answer has a second token, so that there is no ITL: what is called so is the time of a step."""
    refused_share: float = 0.0
    """Of the requests, those longer than the server takes; the other figures are of the rest."""

    def time_ms(self, name: str) -> float:
        """A mean or a percentile by its name among measures."""
        means = {"itl_ms": self.itl_ms, "ttft_ms": self.ttft_ms}
        return means[name] if name in means else self.percentiles[name]

    @property
    def likely(self) -> bool:
        """Whether the objective is likely enough to be kept."""
        return self.chance >= self.required_chance

    @property
    def unsure(self) -> bool:
        """Whether the objective is rather kept than not, but not likely enough."""
        return BEST_GUESS <= self.chance < self.required_chance

    @property
    def starved(self) -> bool:
        """Whether requests starve (the papers' rule); what likely keeps its objective does not."""
        return not self.likely and self.share < STARVED_BELOW


@dataclass(frozen=True, slots=True)
class Objective:
    """One of the objectives with its limits.

    Raises:
        InputError: an ITL limit for an objective that knows none.
    """

    name: ObjectiveName = ObjectiveName.STEADY
    ttft_limit: Limit = TTFT_LIMIT
    """TTFT above this is not steady."""
    itl_limit: Limit | None = None
    """Largest ITL accepted; for `latency` only."""

    def __post_init__(self) -> None:
        if self.itl_limit is not None and self.name is not ObjectiveName.LATENCY:
            raise InputError(f"an ITL limit belongs to the objective latency; {self.name} has none")

    @property
    def ttft_limit_s(self) -> float:
        """The limit of the mean TTFT that the models are asked about, s."""
        limit_s = self.ttft_limit.seconds
        return limit_s if self.ttft_limit.is_mean else min(max(limit_s, LEAST_TTFT_LIMIT_S), MOST_TTFT_LIMIT_S)

    @property
    def limits(self) -> dict[str, Limit]:
        """The limits that count, each by the name of what it limits among measures; `published` knows none."""
        found = {} if self.name is ObjectiveName.PUBLISHED else {self.ttft_limit.measure("ttft"): self.ttft_limit}
        return found if self.itl_limit is None else {**found, self.itl_limit.measure("itl"): self.itl_limit}

    def beyond(self, expected: Expectation) -> list[str]:
        """The limits that are not kept in 19 of 20 hours, by the names of measures."""
        return [name for name, limit in self.limits.items() if _beyond(expected, name, limit)]

    def document(self) -> dict[str, Any]:
        """As plain data: the name, and the limits by the names of measures, ms."""
        return {"name": str(self.name), **{name: 1e3 * limit.seconds for name, limit in self.limits.items()}}

    def shown(self, time: Literal["ttft", "itl"]) -> str:
        """What of a time to show, by its name among measures: the percentile that is limited, else the mean."""
        of = self.ttft_limit if time == "ttft" else self.itl_limit
        return measure(time, "mean") if of is None else of.measure(time)

    @property
    def of_percentiles(self) -> bool:
        """Whether a percentile is limited."""
        return not all(limit.is_mean for limit in self.limits.values())

    @property
    def trees(self) -> Literal["steady", "published"]:
        """The objective that the trees were trained for; `latency` starts from the steady ones."""
        return "published" if self.name is ObjectiveName.PUBLISHED else "steady"

    def steady(self, expected: Expectation) -> bool:
        """Not starved, and the TTFT within the limit."""
        kept = not expected.starved if self.name is ObjectiveName.PUBLISHED else expected.likely
        return kept and not self.late(expected)

    def late(self, expected: Expectation) -> bool:
        """Whether the TTFT is above the limit."""
        return not self.ttft_limit.kept_by(expected.time_ms(self.ttft_limit.measure("ttft")))

    def missed_by(self, measures: Mapping[str, Any]) -> list[str]:
        """The conditions that a simulated hour fails, each with its numbers; empty when the objective is kept."""
        missed = []
        if measures["oom"]:
            missed.append("the server does not start: out of memory")
        if measures["starved"]:
            missed.append("requests starve")
        for name, limit in self.limits.items():
            value_ms = measures[name]
            if value_ms is not None and not limit.kept_by(value_ms):
                missed.append(f"{words(name)} {_rounded(value_ms, limit, 0.1):,.1f} ms > {1e3 * limit.seconds:,g} ms")
        return missed

    def misses(self, expected: Expectation) -> list[str]:
        """The conditions that the expectation fails, each with its numbers; empty when the objective is met.

        Who starves is for the chance to say, which was trained on just that; the expected throughput is a mean.
        """
        missed = []
        if not expected.likely:
            hour = "an unstarved hour" if self.name is ObjectiveName.PUBLISHED else "a steady hour"
            missed.append(f"chance of {hour} {_below(expected.chance, expected.required_chance)}")
        missed += expected.shortages
        return missed + [each for name, limit in self.limits.items() if (each := _beyond(expected, name, limit))]


def _beyond(expected: Expectation, name: str, limit: Limit) -> str:
    """How a limit is missed, in words; empty where it is kept in 19 of 20 hours."""
    value_ms, margin = expected.time_ms(name), expected.margins.get(name, 1.0)
    if limit.kept_by(value_ms * margin):
        return ""
    worst = _above(value_ms * margin, limit)
    worst = f"{_milliseconds(value_ms)}, in one of 20 hours {worst}" if margin > 1 else worst
    return f"{words(name)} {worst} > {1e3 * limit.seconds:,g} ms"


def _milliseconds(value_ms: float) -> str:
    return f"{value_ms:.2f} ms" if value_ms < SECOND_MS else f"{value_ms:,.0f} ms"


def _above(value_ms: float, limit: Limit) -> str:
    """An expected time beyond its limit."""
    return _milliseconds(_rounded(value_ms, limit, 0.01 if value_ms < SECOND_MS else 1.0))


def _rounded(value_ms: float, limit: Limit, unit_ms: float) -> float:
    """A time beyond its limit to within a unit, rounded up where it would else read as if it kept it."""
    rounded = round(value_ms / unit_ms) * unit_ms
    reads_longer = rounded > 1e3 * limit.seconds * (1 + HAIR)
    return rounded if reads_longer else math.ceil(value_ms / unit_ms) * unit_ms


def _below(chance: float, required: float) -> str:
    """A chance below the one that is required, rounded down where the two would else read the same."""
    wanted = round(1e3 * required)
    return f"{min(round(1e3 * chance), wanted - 1) / 10:.1f}%, below {wanted / 10:g}%"
