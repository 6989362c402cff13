"""Which adapters have a request in flight, and how much of what their prompts begin with the KV cache still has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.features import queueing
from advisor.features.renewal import LEAST_CV, answering, gamma_cv, renewal
from twin.workload import Workload

Floats = NDArray[np.float64]

KEPT = np.geomspace(5e-5, 0.5, 60)
"""How long the KV cache keeps what nobody asks for, in hours; half of the one that is asked about at most."""
GROUPS = 64
"""Beyond so many, adapters of similar traffic are taken together."""


class Presence(NamedTuple):
    """Of adapters, by step time, shape (n,) each."""

    in_flight: Floats
    """Share that has a request in flight."""
    variance: Floats
    """Of that, times the adapters."""
    asked: Floats
    """Share that was asked within the time of an answer."""
    longer: Floats
    """Share of the requests that come longer than that after the one before of their adapter."""
    peakedness: Floats
    """Variance over mean of the requests in flight."""


def presence(mix: Workload, step_s: Floats) -> Presence:
    """Who is there when steps take so long, shape (n,), and an answer token each of them."""
    groups = _grouped(mix.rate * mix.output_mean, mix.cv, mix.rate)
    spread = float(mix.rate @ (mix.output_std / mix.output_mean)) / float(mix.rate.sum())
    gaps = renewal(groups.rate, groups.cv, step_s)
    present = answering(gaps, groups.rate, groups.cv, step_s, spread)
    of_all, traffic = groups.adapters, mix.traffic
    return Presence(
        of_all @ present,
        of_all @ (present * (1 - present)),
        of_all @ gaps.asked,
        groups.weight @ gaps.longer,
        peakedness(traffic, step_s * float(traffic.rate @ traffic.output_mean) / float(traffic.rate.sum())),
    )


def with_gamma_gaps(mix: Workload, answer_s: Floats) -> Workload:
    """Log-normal gaps as the Gamma gaps with which as many adapters are in flight when the answers of each take so
    long, s; shape (adapters,).
    """
    if mix.lognormal_gaps is None or not mix.lognormal_gaps.any():
        return mix
    some = mix.lognormal_gaps & (mix.rate > 0)
    cv = mix.cv.copy()
    cv[some] = gamma_cv(mix.rate[some], cv[some], answer_s[some])
    return replace(mix, cv=cv, lognormal_gaps=None)


def mean_in_flight(mix: Workload, first_s: float, step_s: float) -> float:
    """Adapters that have a request in flight, when the first token of an answer takes so long, s, and each further
    one as long as a step."""
    tokens = mix.output_mean - 1.0 + first_s / step_s
    longer = replace(mix, output_mean=tokens)
    return len(mix) * float(presence(with_gamma_gaps(longer, tokens * step_s), np.array([step_s])).in_flight[0])


def peakedness(traffic: Workload, service_s: Floats) -> Floats:
    """Variance over mean of the requests in service, each of which takes so long, s, on average; shape (n,).

    Of arrivals with Gamma gaps and exponential service (Hayward's peakedness; 1 for Poisson arrivals): within little
    time bursts have hardly begun, so that it is 1 there too, and (c^2 + 1) / 2 in the end.
    """
    if np.all(traffic.cv == 1.0):
        return np.ones_like(service_s)
    groups = _grouped(traffic.rate, traffic.cv, traffic.rate)
    excess = np.maximum(groups.cv, LEAST_CV)[:, np.newaxis] ** 2
    expected = np.clip(groups.rate[:, np.newaxis] * service_s, 1e-12, 1e9)
    ended = -np.expm1(-np.log1p(excess / expected) / excess)  # 1 - the gaps' Laplace transform
    return groups.weight @ np.clip(1.0 / ended - expected, 0.0, None)


def evicted(mix: Workload, block_size: int) -> Callable[[Floats], Floats]:
    """Of what prompts begin alike with, the share that is computed again, by how long the KV cache keeps a token, s.

    Within the hour that is asked about, the first prompt of an adapter finds nothing.
    """
    if mix.shared_prefix is None:
        return np.zeros_like
    spans = KEPT * queueing.HOUR_S
    groups = _grouped(mix.rate, mix.cv, mix.rate * (mix.shared_prefix // block_size * block_size))
    again = groups.weight @ renewal(groups.rate, groups.cv, spans).longer
    return lambda kept_s: np.interp(np.log(np.maximum(kept_s, spans[0])), np.log(spans), again)


class _Groups(NamedTuple):
    """Adapters of similar traffic; shape (groups,) each."""

    rate: Floats
    cv: Floats
    adapters: Floats
    """Share of the adapters."""
    weight: Floats
    """Share of what they weigh."""


def _grouped(rate: Floats, cv: Floats, weight: Floats) -> _Groups:
    """Those alike together or, if these are more than `GROUPS`, so many of similar ones.

    They are sorted by how often a burst comes, seen as a negative binomial process.
    """
    excess = np.maximum(cv**2 - 1, 1e-9)
    bursts = rate * np.log1p(excess) / excess
    alike, of = np.unique(bursts + 1j * cv, return_inverse=True)
    groups = of * min(len(alike), GROUPS) // len(alike)
    count = np.bincount(groups).astype(np.float64)
    total = max(float(weight.sum()), 1e-300)
    return _Groups(
        np.bincount(groups, rate) / count,
        np.bincount(groups, cv) / count,
        count / len(rate),
        np.bincount(groups, weight) / total,
    )
