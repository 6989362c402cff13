"""The traffic that comes to a group of adapters, and which adapters are alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from advisor.inventory.inventory import Inventory
from advisor.place.placement import Group
from twin.workload import Workload

HARDLY_EVER = 1.0 / (365 * 86400)
"""Requests/s of adapters that are never asked, where one has to be: once a year."""
SMALLEST_RANK = 8.0
"""Of the slots of a server without adapters; every vLLM takes it."""

Positions = NDArray[np.int64]
Floats = NDArray[np.float64]


def asked_of(workload: Workload) -> Workload:
    """Its adapters that are asked at times; if none is, one as if it were once a year: there is a slot at least."""
    if (asked := np.flatnonzero(workload.rate > 0)).size:
        return workload.take(asked)
    if len(workload):
        largest = workload.take(np.array([int(np.argmax(workload.rank))]))
        return replace(largest, rate=np.array([HARDLY_EVER]))
    if workload.base is None:
        raise ValueError("no adapter, and no request that names none")
    return replace(workload.base, rank=np.array([SMALLEST_RANK]), rate=np.array([HARDLY_EVER]), base=workload.base)


def traffic_of(group: Group, workload: Workload, *, scale: float = 1.0) -> Workload:
    """What comes to a group of the traffic of all adapters, all rates times `scale`.

    Where a share of an adapter's requests goes elsewhere, whichever they are, gaps vary less: c^2 - 1 by that share.
    """
    mine = workload.take(np.array(group.adapters, dtype=np.int64))
    weights = np.ones(len(group.adapters))
    if group.weights:
        weights[:] = [group.weights.get(adapter, 1.0) for adapter in group.adapters]
    base = None if workload.base is None or not group.base else _part(workload.base, np.array([group.base]), scale)
    return replace(_part(mine, weights, scale), base=base)


def _part(of: Workload, weights: Floats, scale: float) -> Workload:
    thinned = np.sqrt(1.0 + weights * (of.cv**2 - 1.0))
    return replace(of, rate=of.rate * weights * scale, cv=np.where(weights < 1.0, thinned, of.cv))


def kinds(inventory: Inventory) -> Positions:
    """A number for each adapter, the same for those that are alike, also in what they take of host memory."""
    mix, modules = inventory.mix, inventory.target_modules
    traits = [mix.rank, mix.rate, mix.input_mean, mix.input_std, mix.output_mean, mix.output_std, mix.cv]
    traits += [each.astype(np.float64) for each in (mix.lognormal_gaps, mix.shared_prefix) if each is not None]
    for laws in (mix.input_quantiles, mix.output_quantiles, mix.tables):
        if laws:
            number = {id(law): float(place) for place, law in enumerate(laws)}
            traits.append(np.array([number[id(law)] for law in laws]))
    if modules and inventory.host_memory_gib is not None:
        of_each = [modules.get(name) for name in inventory.names]
        sets = {each: float(i) for i, each in enumerate(dict.fromkeys(of_each))}
        traits.append(np.array([sets[each] for each in of_each]))
    return np.unique(np.stack(traits), axis=1, return_inverse=True)[1].astype(np.int64).reshape(-1)
