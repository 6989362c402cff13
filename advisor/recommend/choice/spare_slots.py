"""Slots beyond those of the rules, where chance, bursts or somewhat more traffic would fill these."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from advisor.features.queueing import share_waiting
from advisor.features.vector import Measured
from advisor.recommend.answer.reasons import Waits
from advisor.recommend.answer.recommendation import Step
from twin.workload import Workload

GROWTH, WAITING = 1.5, 0.02
"""Slots for little traffic are enough when, with so many times the traffic, no more than such a share of the requests
would wait for one: with a handful of slots chance alone fills them, and one more costs next to nothing."""
FEW = 16
"""Slots that are few; of more, chance seldom fills so many beyond the usual, and the rules were trained on it."""
POISSON_CV = 1.05
"""Gaps that vary more are no longer those of independent requests: a twentieth is within what logs show of those."""
SPARE_STEP, UNEVEN_STEP, SPARE_KV = 0.02, 0.05, 0.5
"""Slots beyond those of the rules may lengthen a step by no more than such a share, the second where they are not few:
then it is bursts that fill them, and who waits keeps others waiting; and must leave such a share of the KV cache."""
TRIED = 8
"""Numbers of slots that are measured between those of the rules and enough of them."""


def spare_slots(
    measured: Measured, mix: Workload, slots: range, capacity: Callable[[int], int], max_model_len: int
) -> Iterator[Step]:
    """More than the first of these numbers of slots, as a step of the trace; none where that is enough.

    `capacity` tells the tokens that slots leave of the KV cache; a request takes `max_model_len` of them at most.
    """
    wanted, fit = slots[0], slots[1:]  # capacity never grows with the slots
    (with_slots,) = measured.with_slots([wanted])
    busy = _busy(with_slots, mix)
    if (share := share_waiting(wanted, busy)) <= WAITING:
        return
    left = max(SPARE_KV * capacity(wanted), max_model_len)
    fit = fit[: bisect_right(fit, False, key=lambda each: capacity(each) < left)]
    fit = fit[: bisect_left(fit, True, key=lambda each: share_waiting(each, busy) <= WAITING) + 1]
    if not fit:
        return
    tried = sorted({fit[round(place * (len(fit) - 1))] for place in np.linspace(0, 1, TRIED)})
    most_ms = (1 + (SPARE_STEP if wanted <= FEW else UNEVEN_STEP)) * with_slots["step_time"]
    steps = zip(tried, measured.with_slots(tried), strict=True)
    cheap = [count for count, with_more in steps if with_more["step_time"] <= most_ms]
    if cheap:
        spare = cheap[-1]
        yield Step("max_loras", (Waits(wanted, share, GROWTH), Waits(spare, share_waiting(spare, busy))), spare)


def uneven(values: Mapping[str, float]) -> bool:
    """Whether requests come in bursts, which fill more slots than the mean tells."""
    return values["cv_mean"] > POISSON_CV


def waiting(values: Mapping[str, float], mix: Workload, slots: int) -> float:
    """The share of the requests that would wait for one of so many slots with `GROWTH` times the traffic."""
    return share_waiting(slots, _busy(values, mix))


def _busy(values: Mapping[str, float], mix: Workload) -> float:
    """Adapters in flight with `GROWTH` times the traffic."""
    return GROWTH * adapters_in_flight(mix, values["step_time"] / 1e3)


def adapters_in_flight(mix: Workload, step_s: float) -> float:
    """Adapters with a request in flight, of bursty ones as many as there can be at most.

    An adapter is in flight for no longer than its requests take one after the other. How much shorter bursts make that
    depends on how close they come, for which the feature `active_adapters` takes all answers to be as long as the
    mean: it is low where they are not.
    """
    requests = mix.rate * mix.output_mean * step_s
    return float(np.where(mix.cv > 1, np.minimum(requests, 1.0), -np.expm1(-requests)).sum())
