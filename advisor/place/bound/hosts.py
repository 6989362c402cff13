"""How many GPUs any placement needs at least for the memory of hosts: of each it holds so many adapters, and only so
much may be read from disk beside them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from advisor.place.judge.servers import Servers
from advisor.recommend.server.host_memory import GIB, STALLED


def hosts(servers: Servers, placed: NDArray[np.int64]) -> int:
    """GPUs whose hosts hold these adapters, or all of them but what is asked so seldom that it may be read from disk.

    K hosts that hold s adapters each, the lightest at most, find no more of what is asked than the K times s that bring
    the most of it. What they do not find takes its time to read, which on each may be no more than a share of it.
    """
    if not len(placed):
        return 1
    types = range(len(servers.problem.gpu_types))
    if (most := servers.host().most) is not None:
        return math.ceil(len(placed) / most)
    if any(servers.host(each).limit_gib is None for each in types):
        return 1
    held = max(_held(servers, each, placed) for each in types)
    reading = np.sort(np.min([_reading(servers, each, placed) for each in types], axis=0))[::-1]
    if not held:
        return 1
    left = np.append(reading[::-1].cumsum()[::-1], 0.0)
    low, high = 0, math.ceil(len(placed) / held)
    while high - low > 1:
        middle = (low + high) // 2
        enough = left[min(middle * held, len(placed))] <= middle * STALLED
        low, high = (low, middle) if enough else (middle, high)
    return high


def _held(servers: Servers, gpu_type: int, placed: NDArray[np.int64]) -> int:
    """The most of them that a host holds."""
    host = servers.host(gpu_type)
    assert host.weights is not None and host.limit_gib is not None
    lightest = np.cumsum(np.sort(host.weights[placed]))
    return int(np.searchsorted(lightest, host.limit_gib * GIB, side="right"))


def _reading(servers: Servers, gpu_type: int, placed: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each, the share of the time that reading it takes if none of its requests finds it."""
    loading = servers.problem.gpu_types[gpu_type].pair.profile.loading
    mix = servers.mix(gpu_type).take(placed)
    disk_s: NDArray[np.float64] = (loading.disk_base_ms + loading.disk_per_rank_ms * mix.rank) / 1e3
    return mix.rate * (1.0 + servers.problem.headroom) * disk_s
