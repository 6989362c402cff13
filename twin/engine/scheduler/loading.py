"""Bringing the adapters of a batch into slots, by way of host memory, before its step runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twin.engine.compiled import jit
from twin.engine.scheduler import adapter_cache
from twin.engine.scheduler.adapter_cache import AdapterCache
from twin.engine.scheduler.batch import NONE
from twin.engine.scheduler.state import Scheduler


@jit
def load_adapters(scheduler: Scheduler) -> float:
    """Bring the adapters of the batch into slots, by way of host memory; return the ms that takes."""
    slots, host = scheduler.slots, scheduler.host
    missing, load_ms = 0, 0.0
    _sort_by_turn(scheduler.entered, scheduler.output.entered, scheduler.turn)
    for i in range(scheduler.output.entered):
        adapter = scheduler.entered[i]
        if not host.resident[adapter]:
            return _go_through_batch(scheduler)
        if not slots.resident[adapter]:
            missing += 1
            load_ms += scheduler.demand.load_from_memory_ms[adapter]
    if missing > _spare(scheduler, missing):
        return _go_through_batch(scheduler)
    for i in range(scheduler.output.entered):
        adapter = scheduler.entered[i]
        adapter_cache.pin(host, adapter)
        adapter_cache.pin(slots, adapter)
        if not slots.resident[adapter]:
            adapter_cache.evict(slots, scheduler.state.step, NONE, scheduler.turn)
            adapter_cache.insert(slots, adapter)
    scheduler.state.adapter_loads += missing
    return load_ms


@jit
def _sort_by_turn(adapters: NDArray[np.int32], count: int, turn: NDArray[np.int32]) -> None:
    """Insertion sort of the first few: of those new in the batch, or of a batch that was sorted a few steps ago.

    The order decides who is evicted, and in which order times add up.
    """
    for i in range(1, count):
        adapter = adapters[i]
        j = i
        while j > 0 and turn[adapters[j - 1]] > turn[adapter]:
            adapters[j] = adapters[j - 1]
            j -= 1
        adapters[j] = adapter


@jit
def _spare(scheduler: Scheduler, wanted: int) -> int:
    """Slots, up to `wanted`, that are empty or held by adapters idle for so long that they leave before any other."""
    slots = scheduler.slots
    spare = slots.held.capacity - slots.held.adapters
    idle = slots.newer[len(slots.resident)]
    while (
        spare < wanted
        and idle != len(slots.resident)
        and slots.last_used[idle] < scheduler.state.step - 1
        and scheduler.running_of[idle] == 0
    ):
        spare += 1
        idle = slots.newer[idle]
    return spare


@jit
def _go_through_batch(scheduler: Scheduler) -> float:
    """Touch or load every adapter of the batch in turn (see `twin.engine.scheduler.adapter_cache`)."""
    slots, host, step = scheduler.slots, scheduler.host, scheduler.state.step
    in_batch, load_ms = scheduler.in_batch, 0.0
    _sort_by_turn(in_batch, scheduler.state.active_adapters, scheduler.turn)
    for i in range(scheduler.state.active_adapters):
        adapter = in_batch[i]
        scheduler.place[adapter] = i
        if not host.resident[adapter]:
            load_ms += scheduler.demand.load_from_disk_ms[adapter]
            evicted = adapter_cache.evict(host, step, _following(scheduler, host, i), scheduler.turn)
            if evicted != NONE and slots.resident[evicted]:
                adapter_cache.remove(slots, evicted)
            adapter_cache.insert(host, adapter)
        adapter_cache.pin(host, adapter)
        if not slots.resident[adapter]:
            load_ms += scheduler.demand.load_from_memory_ms[adapter]
            scheduler.state.adapter_loads += 1
            adapter_cache.evict(slots, step, _following(scheduler, slots, i), scheduler.turn)
            adapter_cache.insert(slots, adapter)
        adapter_cache.pin(slots, adapter)
    return load_ms


@jit
def _following(scheduler: Scheduler, cache: AdapterCache, i: int) -> int:
    """The next adapter in turn after the i-th of the batch that is resident and not idle, or NONE."""
    for later in range(i + 1, scheduler.state.active_adapters):
        adapter = scheduler.in_batch[later]
        if cache.resident[adapter] and cache.newer[adapter] == NONE:
            return adapter
    return NONE
