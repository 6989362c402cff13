"""One tier of adapters, GPU slots or host memory: an LRU map whose busy entries cannot leave.

vLLM touches every adapter of the batch in every step; so the least recently used one is the one that has been idle
longest, and a list of the idle adapters in the order they fell idle is all that is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.compiled import jit

NONE = -1
CAPACITY, SIZE = 0, 1


class AdapterCache(NamedTuple):
    """Arrays over adapters 0 … N-1; index N is the head of the idle list, a ring."""

    resident: NDArray[np.bool_]
    older: NDArray[np.int32]
    newer: NDArray[np.int32]
    held: NDArray[np.int64]
    """[capacity, adapters held]"""


def empty(adapters: int, capacity: int) -> AdapterCache:
    """A cache for `capacity` of the `adapters`, holding none."""
    ring = np.full(adapters + 1, adapters, dtype=np.int32)
    held = np.array([capacity, 0], dtype=np.int64)
    return AdapterCache(np.zeros(adapters, dtype=np.bool_), ring, ring.copy(), held)


@jit
def use(cache: AdapterCache, adapter: int) -> int:
    """Take a resident adapter off the idle list, or bring one in; return the adapter that had to leave, or NONE."""
    if cache.resident[adapter]:
        _unlink(cache, adapter)
        return NONE
    evicted = NONE
    if cache.held[SIZE] == cache.held[CAPACITY]:
        evicted = cache.newer[len(cache.resident)]
        drop(cache, evicted)
    cache.resident[adapter] = True
    cache.held[SIZE] += 1
    return evicted


@jit
def release(cache: AdapterCache, adapter: int) -> None:
    """The adapter falls idle: last in line to leave."""
    head = len(cache.resident)
    last = cache.older[head]
    cache.newer[last] = adapter
    cache.older[adapter] = last
    cache.newer[adapter] = head
    cache.older[head] = adapter


@jit
def drop(cache: AdapterCache, adapter: int) -> None:
    """An idle adapter leaves."""
    _unlink(cache, adapter)
    cache.resident[adapter] = False
    cache.held[SIZE] -= 1


@jit
def _unlink(cache: AdapterCache, adapter: int) -> None:
    older, newer = cache.older[adapter], cache.newer[adapter]
    cache.newer[older] = newer
    cache.older[newer] = older
