"""Lengths of requests out of histograms, whose buckets tell shares, and out of means alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from advisor.discovery.discovery import Tokens
from advisor.discovery.pages.page import Sample
from twin.lengths import SHAREGPT, normal_share

_ASSUMED_SPREAD = SHAREGPT.input_std / SHAREGPT.input_mean
"""Of lengths of which only the mean is known: as wide as conversations are."""
_SIGMAS = np.linspace(0.02, 3.0, 150)


def shares(buckets: Iterable[Sample]) -> Mapping[float, float]:
    """Of a histogram: upper bound of tokens -> share of the requests that are no longer."""
    counts = defaultdict[float, float](float)
    for each in buckets:
        try:
            counts[float(each.labels.get("le", "nan"))] += each.value
        except ValueError:
            continue
    whole = counts.get(float("inf"), 0.0)
    return {bound: min(n / whole, 1.0) for bound, n in counts.items() if whole and 0 < bound < float("inf")}


def with_spread(mean: float, told_shares: Mapping[float, float]) -> Tokens:
    """Mean and spread of log-normal lengths, the spread that comes nearest to a histogram's shares."""
    mean = max(mean, 1.0)
    inner = {bound: share for bound, share in told_shares.items() if 0 < share < 1}
    if not inner:
        return {"mean": mean, "std": mean * _ASSUMED_SPREAD}
    bounds, told = np.log(list(inner)), np.array(list(inner.values()))
    expected = normal_share((bounds[None, :] - np.log(mean)) / _SIGMAS[:, None] + _SIGMAS[:, None] / 2)
    sigma = float(_SIGMAS[np.argmin(((expected - told) ** 2).sum(axis=1))])
    return {"mean": mean, "std": mean * float(np.sqrt(np.expm1(sigma**2)))}
