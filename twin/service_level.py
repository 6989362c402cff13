"""What it means that a server starves its requests or serves them steadily: the only home of both, and of their limits.

Whoever measures, simulates, learns or predicts serving asks here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

Statistic = Literal["mean", "p50", "p95", "p99"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
"""What is told of the times of requests and tokens: the mean and percentiles, as vLLM's benchmark has them."""
PERCENTS: dict[int, Statistic] = {50: "p50", 95: "p95", 99: "p99"}
"""The percentiles among them."""

STARVED_BELOW = 0.9
"""Requests starve where a smaller share of them was served; Agulló et al. 2025 compare tokens with the same share."""
TTFT_LIMIT_S = 2.0
"""Default limit of the mean time to first token, s: the cliff between steady and not is so sharp that any limit from
one to ten seconds finds the same place."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that a time may be: its mean, or a percentile of it.

    Raises:
        ValueError: not above 0 and finite, or no such statistic.
    """

    seconds: float
    statistic: Statistic = "mean"

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise ValueError(f"must be above 0, not {self.seconds:g} s")
        if self.statistic not in STATISTICS:
            raise ValueError(f"must be of {', '.join(STATISTICS)}, not of {self.statistic}")

    @property
    def is_mean(self) -> bool:
        """Whether the mean is limited."""
        return self.statistic == "mean"

    def measure(self, time: str) -> str:
        """What is limited of a time, under the name that measures have: of `ttft`, `ttft_ms` or `ttft_p99_ms`."""
        return measure(time, self.statistic)

    def kept_by(self, value_ms: float) -> bool:
        """Whether a value keeps the limit. A NaN stands for nothing measured, which breaks none."""
        return not value_ms > 1e3 * self.seconds


TTFT_LIMIT = Limit(TTFT_LIMIT_S)


def measure(time: str, statistic: Statistic) -> str:
    """The name of a statistic of a time among measures: `ttft_ms` is the mean, `ttft_p99_ms` a percentile."""
    return f"{time}_ms" if statistic == "mean" else f"{time}_{statistic}_ms"


def words(name: str) -> str:
    """What people call a time by its name among measures: `ttft_p99_ms` is TTFT P99."""
    return name.removesuffix("_ms").replace("_", " ").upper()


def starved(completed: int, arrived: int, waiting: int) -> bool:
    """Whether less than 90 % of the requests that arrived were served while others waited.

    Where nobody waits at the end, what was not served is being served: two requests in flight when the hour is over are
    many where it brought six.
    """
    return completed < STARVED_BELOW * arrived and waiting > 0


def steady(*, starved: bool, ttft_ms: float, ttft_limit: Limit = TTFT_LIMIT) -> bool:
    """Whether nothing starves and the backlog does not grow: the TTFT is within the limit.

    `ttft_ms` is the statistic that the limit is of; a NaN stands for no first token, as in an hour without requests.
    """
    return not starved and ttft_limit.kept_by(ttft_ms)


def published_starvation(throughput_tok_s: float, offered_tok_s: float) -> bool:
    """The papers' rule, for comparison with them: throughput below 90 % of the offered token rate, whatever arrived.

    `offered_tok_s` is the mean of the workload (Agulló et al. 2025, arXiv 2508.08343). A NaN stands for no throughput.
    """
    return not throughput_tok_s >= STARVED_BELOW * offered_tok_s
