"""The waiting queue: first come, first served, but a request whose adapter finds no slot is passed over.

vLLM walks the whole queue in every step and puts back what it skipped. Here each adapter has a line of its own, and
two heaps order the lines by their first request: lines of adapters that hold a slot, which can always be served, and
the others, which need a free one. The next request is the first of one heap or of both, and skipping costs nothing.
Requests that name no adapter have a line, too, the last: it counts as one of an adapter that always holds a slot.

vLLM 0.24 moves what it has passed over to a queue of its own (`skipped_waiting`), which it serves before `waiting`,
where preempted requests return to. So these come after what was passed over, and a list of the requests that are
still in `waiting` is kept to move them when a scan has passed them, once each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.engine.compiled import Record, jit

NONE = -1
NOWHERE, THE_END = -(2**62), 2**62
"""Places before and behind all others; what was passed over has places from NOWHERE on, upwards."""


class Held(Record):
    """How many adapters a heap holds."""

    adapters: int


class QueueTotals(Record):
    """What a queue adds up, and the places it gives next."""

    waiting: int
    """Requests."""
    outside: int
    """Requests of adapters outside the batch."""
    first_place: int
    """Of the next preempted request."""
    skipped_place: int
    """Of the next request that is passed over."""


class Heap(NamedTuple):
    """Adapters ordered by the place of their first waiting request."""

    adapter: NDArray[np.int32]
    place: NDArray[np.int64]
    position: NDArray[np.int32]
    """Of each adapter in the heap, NONE if it is not there."""
    held: Held


class Queue(NamedTuple):
    """Lines of waiting requests, one per adapter and one of those that name none, linked through the requests."""

    first: NDArray[np.int32]
    last: NDArray[np.int32]
    length: NDArray[np.int32]
    active: NDArray[np.bool_]
    """Whether the adapter is in the batch, or holds its slot still."""
    behind: NDArray[np.int32]
    """Of each request, the next one of its adapter."""
    place: NDArray[np.int64]
    """Of each request, its place in the whole queue: lower is served first."""
    inside: Heap
    outside: Heap
    totals: QueueTotals
    ahead: NDArray[np.int32]
    unseen: NDArray[np.int32]
    """Neighbours in the list of requests that no scan has passed over, whose head is the last entry; both have no other
    entry where what was passed over has no queue of its own."""
    skipped: NDArray[np.int32]
    """Of each adapter, the last of its requests that was passed over, or NONE."""


def empty(adapters: int, requests: int, skipped_waiting: bool) -> Queue:
    """An empty queue; `skipped_waiting` gives what is passed over a queue of its own."""
    lines = adapters + 1
    active = np.zeros(lines, dtype=np.bool_)
    active[adapters] = True
    unseen = np.full((requests if skipped_waiting else 0) + 1, NONE, dtype=np.int32)
    unseen[-1] = len(unseen) - 1
    none = np.full(lines, NONE, dtype=np.int32)
    return Queue(
        first=none,
        last=none.copy(),
        length=np.zeros(lines, dtype=np.int32),
        active=active,
        behind=np.full(requests, NONE, dtype=np.int32),
        place=np.arange(requests, dtype=np.int64),
        inside=_empty_heap(lines),
        outside=_empty_heap(lines),
        totals=QueueTotals.of(first_place=-1, skipped_place=NOWHERE),
        ahead=unseen,
        unseen=unseen.copy(),
        skipped=none.copy(),
    )


def _empty_heap(lines: int) -> Heap:
    return Heap(
        np.zeros(lines, dtype=np.int32),
        np.zeros(lines, dtype=np.int64),
        np.full(lines, NONE, dtype=np.int32),
        Held.of(),
    )


@jit
def append(queue: Queue, request: int, adapter: int) -> None:
    """A request arrives: last in line."""
    if queue.length[adapter] == 0:
        queue.first[adapter] = request
        _push(queue.inside if queue.active[adapter] else queue.outside, adapter, queue.place[request])
    else:
        queue.behind[queue.last[adapter]] = request
    queue.last[adapter] = request
    _count(queue, adapter, 1)
    _link(queue, request, len(queue.unseen) - 1)


@jit
def append_left(queue: Queue, request: int, adapter: int) -> None:
    """A preempted request returns to the front of the queue, behind what was passed over if that has its own."""
    queue.place[request] = queue.totals.first_place
    queue.totals.first_place -= 1
    before = queue.skipped[adapter]
    if before != NONE:
        queue.behind[request] = queue.behind[before]
        queue.behind[before] = request
    else:
        heap = queue.inside if queue.active[adapter] else queue.outside
        if queue.length[adapter]:
            _remove(heap, adapter)
        queue.behind[request] = queue.first[adapter] if queue.length[adapter] else NONE
        queue.first[adapter] = request
        _push(heap, adapter, queue.place[request])
    if queue.behind[request] == NONE:
        queue.last[adapter] = request
    _count(queue, adapter, 1)
    _link(queue, request, queue.unseen[-1])


@jit
def next_adapter(queue: Queue, slots_full: bool) -> int:
    """The adapter of the first request that may be served now, or NONE."""
    inside, outside = queue.inside, queue.outside
    if slots_full or outside.held.adapters == 0:
        return inside.adapter[0] if inside.held.adapters else NONE
    if inside.held.adapters == 0 or outside.place[0] < inside.place[0]:
        return outside.adapter[0]
    return inside.adapter[0]


@jit
def pop(queue: Queue, adapter: int) -> None:
    """The first request of this adapter leaves the queue."""
    request = queue.first[adapter]
    heap = queue.inside if queue.active[adapter] else queue.outside
    _remove(heap, adapter)
    queue.first[adapter] = queue.behind[request]
    if queue.skipped[adapter] == request:
        queue.skipped[adapter] = NONE
    _unlink(queue, request)
    _count(queue, adapter, -1)
    if queue.length[adapter]:
        _push(heap, adapter, queue.place[queue.first[adapter]])


@jit
def move(queue: Queue, adapter: int, active: bool) -> None:
    """The adapter enters or leaves the batch, and its line with it."""
    queue.active[adapter] = active
    if queue.length[adapter]:
        place = queue.place[queue.first[adapter]]
        _remove(queue.outside if active else queue.inside, adapter)
        _push(queue.inside if active else queue.outside, adapter, place)
        queue.totals.outside += -queue.length[adapter] if active else queue.length[adapter]


@jit
def set_skipped_aside(queue: Queue, reached: int, adapter_of: NDArray[np.int32]) -> None:
    """A scan has passed over every request before the place `reached`."""
    request = queue.unseen[-1]
    while request != len(queue.unseen) - 1 and queue.place[request] < reached:
        following = queue.unseen[request]
        adapter = adapter_of[request]
        _unlink(queue, request)
        queue.place[request] = queue.totals.skipped_place
        queue.totals.skipped_place += 1
        queue.skipped[adapter] = request
        if queue.first[adapter] == request:
            # The order of the lines stays as it is: all before `reached` get new places in their old order.
            heap = queue.inside if queue.active[adapter] else queue.outside
            heap.place[heap.position[adapter]] = queue.place[request]
        request = following


@jit
def _link(queue: Queue, request: int, following: int) -> None:
    """Put a request into the list of the unseen, before another one."""
    if len(queue.unseen) == 1:
        return
    ahead = queue.ahead[following]
    queue.unseen[ahead] = request
    queue.ahead[request] = ahead
    queue.unseen[request] = following
    queue.ahead[following] = request


@jit
def _unlink(queue: Queue, request: int) -> None:
    """Take a request out of the list of the unseen, if it is there."""
    if len(queue.unseen) == 1 or queue.unseen[request] == NONE:
        return
    ahead, following = queue.ahead[request], queue.unseen[request]
    queue.unseen[ahead] = following
    queue.ahead[following] = ahead
    queue.unseen[request] = NONE


@jit
def _count(queue: Queue, adapter: int, change: int) -> None:
    queue.length[adapter] += change
    queue.totals.waiting += change
    if not queue.active[adapter]:
        queue.totals.outside += change


@jit
def _push(heap: Heap, adapter: int, place: int) -> None:
    heap.held.adapters += 1
    _sift_up(heap, heap.held.adapters - 1, adapter, place)


@jit
def _remove(heap: Heap, adapter: int) -> None:
    hole = heap.position[adapter]
    heap.position[adapter] = NONE
    heap.held.adapters -= 1
    size = heap.held.adapters
    if hole < size:
        _sift_down(heap, hole, size, heap.adapter[size], heap.place[size])


@jit
def _sift_up(heap: Heap, hole: int, adapter: int, place: int) -> None:
    while hole > 0:
        parent = (hole - 1) >> 1
        if heap.place[parent] <= place:
            break
        _put(heap, hole, heap.adapter[parent], heap.place[parent])
        hole = parent
    _put(heap, hole, adapter, place)


@jit
def _sift_down(heap: Heap, hole: int, size: int, adapter: int, place: int) -> None:
    start = hole
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size and heap.place[child + 1] < heap.place[child]:
            child += 1
        if heap.place[child] >= place:
            break
        _put(heap, hole, heap.adapter[child], heap.place[child])
        hole = child
    if hole == start:
        _sift_up(heap, hole, adapter, place)
    else:
        _put(heap, hole, adapter, place)


@jit
def _put(heap: Heap, hole: int, adapter: int, place: int) -> None:
    heap.adapter[hole] = adapter
    heap.place[hole] = place
    heap.position[adapter] = hole
