"""What it means that a server starves its requests or serves them steadily: the only home of both, and of their limits.

Whoever measures, simulates, learns or predicts serving asks here.
"""

from __future__ import annotations

STARVED_BELOW = 0.9
"""Requests starve where a smaller share of them was served; Agulló et al. 2025 compare tokens with the same share."""
TTFT_LIMIT_S = 2.0
"""Default limit of the mean time to first token, s: the cliff between steady and not is so sharp that any limit from
one to ten seconds finds the same place."""


def starved(completed: int, arrived: int, waiting: int) -> bool:
    """Whether less than 90 % of the requests that arrived were served while others waited.

    Where nobody waits at the end, what was not served is being served: two requests in flight when the hour is over are
    many where it brought six.
    """
    return completed < STARVED_BELOW * arrived and waiting > 0


def steady(*, starved: bool, ttft_ms: float, ttft_limit_s: float = TTFT_LIMIT_S) -> bool:
    """Whether nothing starves and the backlog does not grow: the mean TTFT is within the limit.

    A NaN stands for no first token at all, as in an hour without requests.
    """
    return not starved and not ttft_ms > 1e3 * ttft_limit_s


def published_starvation(throughput_tok_s: float, offered_tok_s: float) -> bool:
    """The papers' rule, for comparison with them: throughput below 90 % of the offered token rate, whatever arrived.

    `offered_tok_s` is the mean of the workload (Agulló et al. 2025, arXiv 2508.08343). A NaN stands for no throughput.
    """
    return not throughput_tok_s >= STARVED_BELOW * offered_tok_s
