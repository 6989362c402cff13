"""Requests of adapters that are asked at the same moment, as where one request fans out to several."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.inventory.inventory import Inventory
from twin.arrivals import Floats
from twin.workload import Requests, Workload, draw

SPREADS = 8.0
"""So many standard deviations more requests than are wanted are drawn, so that there are enough."""


def groups(inventory: Inventory) -> list[list[int]]:
    """Positions of adapters that are asked, and at the same moment; the busiest of each group first.

    Where an adapter is there several times, as in a mix that is scaled up, so is its group.
    """
    seen, members = Counter[str](), defaultdict[tuple[str, int], list[int]](list)
    for position, name in enumerate(inventory.names):
        if name in inventory.together and inventory.workload.rate[position] > 0:
            members[inventory.together[name], seen[name]].append(position)
            seen[name] += 1
    rate = inventory.workload.rate
    return [sorted(each, key=lambda one: (-rate[one], one)) for each in members.values() if len(each) > 1]


class Crowd(NamedTuple):
    """Who is asked at the same moment."""

    size: int = 1
    """Adapters of the largest group."""
    share: float = 0.0
    """Of all requests, those to adapters of any group."""
    mates: float = 0.0
    """Others that such a request is asked at the same moment with, on average."""


def crowd(inventory: Inventory) -> Crowd:
    """Who is asked at the same moment in an inventory."""
    found, rate = groups(inventory), inventory.workload.rate
    if not found:
        return Crowd()
    theirs = sum(float(rate[members].sum()) for members in found)
    mates = 0.0
    for members in found:
        shares = rate[members] / rate[members[0]]  # of the moments of the busiest, at which the others are asked
        mates += float(rate[members] @ (shares.sum() - shares)) / theirs
    return Crowd(max(map(len, found)), theirs / float(inventory.workload.traffic.rate.sum()), mates)


def crowds(inventory: Inventory, order: NDArray[np.int64]) -> Callable[[int], Crowd]:
    """Who is asked at the same moment among the first so many adapters of an order; of more than it has, all of it."""
    if not inventory.together:
        return alone
    return cache(lambda size: crowd(inventory.take(np.sort(order[:size]))))


def alone(adapters: int) -> Crowd:
    """That each of so many is asked by itself."""
    del adapters
    return Crowd()


def drawn(inventory: Inventory, duration_s: float, seed: int) -> Requests:
    """The requests of an inventory that arrive within `duration_s`; the same seed gives the same requests.

    Of a group, the busiest adapter is asked as its rate, gaps and phases say; at each of these moments the others are
    asked as well, those with a lower rate at as many of them as it says. Lengths are drawn for each request by itself.
    """
    workload, found = inventory.workload, groups(inventory)
    led = [(members[0], each) for members in found for each in members[1:]]
    followers = np.array([each for _, each in led], dtype=np.int64)
    alone = workload.rate.copy()
    alone[followers] = 0.0
    first = draw(replace(workload, rate=alone), duration_s, seed)
    parts = [first]
    for leader, follower in led:
        moments = first.arrival[first.adapter == leader]
        state = np.random.SeedSequence((seed, follower)).generate_state(2)
        share = workload.rate[follower] / workload.rate[leader]
        asked = np.random.default_rng(int(state[0])).random(len(moments)) < share
        parts.append(_requests(workload, follower, moments[asked], int(state[1])))
    arrival = np.concatenate([part.arrival for part in parts])
    order = np.argsort(arrival, kind="stable")
    adapter, prompt, answer = (
        np.concatenate([getattr(part, name) for part in parts])[order] for name in ("adapter", "input", "output")
    )
    return Requests(arrival[order], adapter, prompt, answer)


def _requests(workload: Workload, adapter: int, moments: Floats, seed: int) -> Requests:
    """Requests of one adapter that arrive at these moments."""
    count, one = len(moments), np.ones(1)
    alone = replace(workload.take(np.array([adapter])), rate=one, cv=one, lognormal_gaps=None, phases=(), base=None)
    lengths = draw(alone, count + SPREADS * math.sqrt(count) + SPREADS, seed)
    who = np.full(count, adapter, dtype=np.int32)
    return Requests(moments, who, lengths.input[:count], lengths.output[:count])
