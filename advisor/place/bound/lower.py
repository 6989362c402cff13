"""GPUs that are needed at least: what adapters take of one by the relaxation, in sum, and what is demanded of them."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from advisor.place.bound.demand import Demand, base_demand, demand_of
from advisor.place.bound.hosts import hosts
from advisor.place.bound.relaxation import Relaxation, without_slots
from advisor.place.judge.servers import Servers
from advisor.recommend.objective import Objective, ObjectiveName
from twin.service_level import STARVED_BELOW

Floats = NDArray[np.float64]

TOLERANCE = 1e-6
"""Of a GPU, for what adds up in floating point."""


def lower_bound(servers: Servers, placed: Collection[int], *, base: bool = False, in_hosts: bool = True) -> int:
    """GPUs that serve these adapters at least, all that they are asked, whatever the placement.

    With `base` they also serve the requests that name no adapter, on the same GPUs or others. What the memory of hosts
    takes is left out where adapters need not be `in_hosts`.
    """
    if not placed and not base:
        return 0
    problem, where = servers.problem, np.array(sorted(placed), dtype=np.int64)
    types, traffic = range(len(problem.gpu_types)), servers.mix().take(where)
    shares = np.min([least_shares(servers, number)[where] for number in types], axis=0)
    beside = np.min([least_base(servers, number) for number in types], axis=0) if base else np.zeros(0)
    if problem.objective.name is ObjectiveName.PUBLISHED:
        traffic = traffic.traffic if base else traffic
        every = _served(np.append(shares, beside), traffic.rate * (traffic.input_mean + traffic.output_mean))
        shares, beside = every[: len(shares)], every[len(shares) :]
    together = [len(group & set(placed)) for group in problem.apart]
    pinned = len({gpu for adapter, gpu in problem.pins.items() if adapter in placed})
    copies = [problem.copies[adapter] for adapter in problem.copies.keys() & set(placed)]
    of_hosts = hosts(servers, where) if in_hosts else 1
    return max(1, bins(shares, float(beside.sum())), of_hosts, pinned, *together, *copies) + problem.failures


def least_shares(servers: Servers, gpu_type: int) -> Floats:
    """Of one type of GPU, what each adapter of the inventory takes at least; 0 for those that are not asked.

    Infinite for those that there can be no slot for.
    """
    return _shares(servers, gpu_type)[: len(servers.problem.inventory)]


def least_base(servers: Servers, gpu_type: int) -> Floats:
    """The same of requests that name no adapter, all of them together, on however many GPUs; empty without any."""
    return _shares(servers, gpu_type)[len(servers.problem.inventory) :]


def _shares(servers: Servers, gpu_type: int) -> Floats:
    """Of each adapter and, last, of base traffic, if there is any."""
    if gpu_type in servers.shares:
        return servers.shares[gpu_type]
    problem = servers.problem
    traffic = servers.mix(gpu_type).traffic
    asked = np.flatnonzero(traffic.rate > 0)
    shares = np.zeros(len(traffic))
    if len(asked):
        served = traffic.take(asked)
        # GPUs may hold although the busiest minute is too much for them: it is a part of the hour only.
        hour = problem.inventory.workload
        of_busiest = hour.stationary().offered_tok_s / max(hour.busiest().offered_tok_s, 1e-300)
        served = replace(served, rate=served.rate * (1.0 + problem.headroom) * of_busiest)
        base = servers.mix(gpu_type).base
        profile = problem.gpu_types[gpu_type].pair.profile
        relaxation = Relaxation(
            profile if base is None else without_slots(profile), servers.fixed(gpu_type), _longest_s(problem.objective)
        )
        demand = demand_of(served, profile)
        if base is not None:
            last = base_demand(served.take(np.array([len(asked) - 1])), profile)
            demand = Demand(*(np.append(each[:-1], one) for each, one in zip(demand, last, strict=True)))
        shares[asked] = _least(relaxation, demand)
    servers.shares[gpu_type] = shares
    return shares


def _least(relaxation: Relaxation, demand: Demand) -> Floats:
    """What each takes at least; infinite where memory leaves no slot as large, or no room for any."""
    fits = demand.rank <= relaxation.cells(demand.rank.tolist()).edges[:, 0].max(initial=-1.0)
    shares = np.full(len(fits), math.inf)
    if fits.any():
        some = Demand(*(each[fits] for each in demand))
        shares[fits] = relaxation.least(some, relaxation.refined(some))
    return shares


def _longest_s(objective: Objective) -> float:
    """Steps are no longer on average than the mean time between tokens may be; of that a percentile tells nothing."""
    limit = objective.itl_limit
    return limit.seconds if limit is not None and limit.is_mean else math.inf


def _served(shares: Floats, tokens: Floats) -> Floats:
    """The shares without a tenth of the tokens, which need not be served: those that take most of a GPU."""
    order = np.argsort(-shares / np.maximum(tokens, 1e-300), kind="stable")
    before = np.cumsum(tokens[order]) - tokens[order]
    left_out = np.clip(((1 - STARVED_BELOW) * tokens.sum() - before) / np.maximum(tokens[order], 1e-300), 0.0, 1.0)
    kept = shares.copy()
    kept[order] *= 1.0 - left_out
    return kept


def bins(shares: Floats, beside: float = 0.0) -> int:
    """Bins of size 1 that items of these sizes need at least, no item split (Martello and Toth's bound L2).

    Items above 1 are on several GPUs and count as they are. What is `beside` them is divided at will.
    """
    whole = int(np.ceil(shares.sum() + beside - TOLERANCE))
    sizes = np.sort(np.minimum(shares, 1.0))
    beyond = float(np.maximum(shares - 1.0, 0.0).sum())
    best = whole
    for smallest in [*np.unique(sizes[sizes <= 0.5]).tolist()[-200:], 0.5]:
        alone = sizes > 1 - smallest + TOLERANCE
        large = (sizes > 0.5 + TOLERANCE) & ~alone
        small = (sizes >= smallest) & (sizes <= 0.5 + TOLERANCE)
        room = float(large.sum() - sizes[large].sum())
        extra = max(0, math.ceil(float(sizes[small].sum()) - room - TOLERANCE))
        best = max(best, int(alone.sum()) + int(large.sum()) + extra + math.floor(beyond))
    return best
