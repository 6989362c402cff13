"""Requests that name no adapter, where they alone are more than one server bears: how many of them it would serve."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from advisor.names import counted
from advisor.recommend.choice.configuration import Configurator, DoesNotFitError
from twin.workload import Workload

HARDLY_EVER = 1.0 / (365 * 86400)
"""Requests/s of the one adapter beside them: once a year."""
HALVINGS = 7
"""Of the share that one server bears: then it is known to a hundredth of what comes."""


def too_much(configurator: Configurator, mix: Workload) -> str:
    """That the base traffic of a mix is more than one server serves, how much of it one would, and the way out."""
    unit, base = configurator.pair.basis.unit, mix.base_tok_s
    told = f"requests that name no adapter bring {base:,.0f} tokens/s, alone more than one {unit} serves"
    if mix.base is None or not (share := _served(configurator, mix)):
        return told
    rate, servers = share * float(mix.base.rate.sum()), math.ceil(1 / share)
    return (
        f"{told}, which is about {rate:,.3g} of these {mix.base.rate.sum():,.4g} requests/s ({share * base:,.0f} "
        f"tokens/s): some {counted(servers, unit)} for them alone; `advisor place` spreads them, and says where "
        "adapters go"
    )


def _served(configurator: Configurator, mix: Workload) -> float:
    """The share of the base traffic that one server bears, beside an adapter that is hardly ever asked."""
    assert mix.base is not None
    smallest = mix.take(np.array([int(np.argmin(mix.rank))]))
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        base = replace(mix.base, rate=mix.base.rate * middle)
        try:
            found = configurator.configure(replace(smallest, rate=np.array([HARDLY_EVER]), base=base))
        except DoesNotFitError:
            return 0.0
        low, high = (low, middle) if configurator.objective.misses(found.expected) else (middle, high)
    return low
