"""One tier of adapters, GPU slots or host memory: an LRU map as vLLM uses it.

In every step vLLM takes the adapters of the batch one after another, in the order of a set of hashed names: arbitrary,
but the same in every step (their *turn*). One that is there is marked as used; for one that is missing the least
recently used one is evicted, even if that is in the batch as well and its turn has not come yet. Then that one is
missing when its turn comes and evicts the next one: when all slots are in use, inserting a single adapter can mean
loading a sixth of them anew, on average (`LRUCacheWorkerLoRAManager`, `LRUCacheLoRAModelManager.activate_adapter`).

So the order of use is that of the last step an adapter was in the batch of, then its turn. Adapters in the batch are
pinned: evicted only where no idle one was used longer ago, and in no order of their own. The idle ones are in a list.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.engine.compiled import Record, jit

NONE = -1


class Held(Record):
    """How many adapters a cache holds."""

    capacity: int
    """At most."""
    adapters: int
    """Now."""


class AdapterCache(NamedTuple):
    """Arrays over adapters 0 … N-1; index N of the list is its head, a ring."""

    resident: NDArray[np.bool_]
    older: NDArray[np.int32]
    newer: NDArray[np.int32]
    """Neighbours among the idle residents, least recently used first; NONE where the adapter is not idle."""
    last_used: NDArray[np.int64]
    """Of each idle resident, the last step it was in the batch of."""
    held: Held


def empty(adapters: int, capacity: int) -> AdapterCache:
    """A cache for `capacity` of the `adapters`, holding none."""
    ring = np.full(adapters + 1, NONE, dtype=np.int32)
    ring[adapters] = adapters
    return AdapterCache(
        resident=np.zeros(adapters, dtype=np.bool_),
        older=ring,
        newer=ring.copy(),
        last_used=np.zeros(adapters, dtype=np.int64),
        held=Held.of(capacity=capacity),
    )


@jit
def pin(cache: AdapterCache, adapter: int) -> None:
    """A resident adapter is in the batch: idle no longer."""
    if cache.newer[adapter] != NONE:
        _unlink(cache, adapter)


@jit
def evict(cache: AdapterCache, step: int, following: int, turn: NDArray[np.int32]) -> int:
    """If the cache is full, evict the least recently used adapter; return it, or NONE.

    `following` is the next adapter in turn that is resident and was in the batch of the step before too, or NONE: of
    those that are not idle, the least recently used.
    """
    if cache.held.adapters < cache.held.capacity:
        return NONE
    evicted = cache.newer[len(cache.resident)]
    none_idle = evicted == len(cache.resident)
    if none_idle or (following != NONE and cache.last_used[evicted] == step - 1 and turn[following] < turn[evicted]):
        evicted = following
    remove(cache, evicted)
    return evicted


@jit
def insert(cache: AdapterCache, adapter: int) -> None:
    """The adapter is resident from now on; there is room for it."""
    cache.resident[adapter] = True
    cache.held.adapters += 1


@jit
def remove(cache: AdapterCache, adapter: int) -> None:
    """A resident adapter leaves."""
    pin(cache, adapter)
    cache.resident[adapter] = False
    cache.held.adapters -= 1


@jit
def unpin(cache: AdapterCache, adapter: int, last_used: int, turn: NDArray[np.int32]) -> None:
    """The adapter falls idle after the step `last_used`; those that fall idle with it are ordered by turn."""
    head = len(cache.resident)
    cache.last_used[adapter] = last_used
    older = cache.older[head]
    while older != head and (
        cache.last_used[older] > last_used or (cache.last_used[older] == last_used and turn[older] > turn[adapter])
    ):
        older = cache.older[older]
    newer = cache.newer[older]
    cache.newer[older] = adapter
    cache.older[adapter] = older
    cache.newer[adapter] = newer
    cache.older[newer] = adapter


@jit
def insert_idle(cache: AdapterCache, turn: NDArray[np.int32]) -> None:
    """Fill an empty cache with the last of the adapters, as if they had been used one after another before step 0."""
    adapters = len(cache.resident)
    for adapter in range(max(0, adapters - cache.held.capacity), adapters):
        insert(cache, adapter)
        unpin(cache, adapter, adapter - adapters - 1, turn)


@jit
def _unlink(cache: AdapterCache, adapter: int) -> None:
    older, newer = cache.older[adapter], cache.newer[adapter]
    cache.newer[older] = newer
    cache.older[newer] = older
    cache.older[adapter] = NONE
    cache.newer[adapter] = NONE
