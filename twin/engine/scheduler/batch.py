"""The running requests, in the order they were admitted, when each ends, and how many need a KV block when.

A running request decodes one token per step and fills a KV block every `block_size` steps. So it is noted in a calendar
under the step in which it ends, counted among those that fill their blocks in the same steps, and left alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.engine.compiled import Record, jit

NONE = -1


class BatchTotals(Record):
    """What a batch adds up."""

    running: int
    """Requests, those included that have ended."""


class Batch(NamedTuple):
    """Arrays over seats 0 … max_num_seqs-1; seat `max_num_seqs` is the head of the list of running requests."""

    request: NDArray[np.int32]
    computed: NDArray[np.int32]
    """Prompt tokens computed; only kept while the prompt is not done."""
    origin: NDArray[np.int64]
    """The step in which the request would have produced its token number 0: at the end of step s it has
    produced s - origin tokens."""
    earlier: NDArray[np.int32]
    later: NDArray[np.int32]
    due: NDArray[np.int64]
    """Step in which it ends; NONE while the prompt is not done, and once it has ended."""
    before: NDArray[np.int32]
    after: NDArray[np.int32]
    """Neighbours on the same page of the calendar."""
    calendar: NDArray[np.int32]
    """First seat on each page; a step's page is step modulo the number of pages, a power of two."""
    filling: NDArray[np.int64]
    """Decoding requests that need one more block in step s, under s modulo the block size."""
    free_seats: NDArray[np.int32]
    totals: BatchTotals


def empty(max_num_seqs: int, longest_output: int, block_size: int) -> Batch:
    """No running requests. `longest_output` in tokens bounds how far ahead an end can be."""
    seats = max_num_seqs
    pages = 1 << (longest_output + 2).bit_length()
    ring = np.full(seats + 1, seats, dtype=np.int32)
    return Batch(
        request=np.full(seats, NONE, dtype=np.int32),
        computed=np.zeros(seats, dtype=np.int32),
        origin=np.zeros(seats, dtype=np.int64),
        earlier=ring,
        later=ring.copy(),
        due=np.full(seats, NONE, dtype=np.int64),
        before=np.full(seats, NONE, dtype=np.int32),
        after=np.full(seats, NONE, dtype=np.int32),
        calendar=np.full(pages, NONE, dtype=np.int32),
        filling=np.zeros(block_size, dtype=np.int64),
        free_seats=np.arange(seats - 1, -1, -1, dtype=np.int32),
        totals=BatchTotals.of(),
    )


@jit
def admit(batch: Batch, request: int) -> int:
    """Seat a request at the end of the list; return its seat."""
    seat = batch.free_seats[len(batch.request) - 1 - batch.totals.running]
    head = len(batch.request)
    last = batch.earlier[head]
    batch.later[last] = seat
    batch.earlier[seat] = last
    batch.later[seat] = head
    batch.earlier[head] = seat
    batch.request[seat] = request
    batch.computed[seat] = 0
    batch.due[seat] = NONE
    batch.totals.running += 1
    return seat


@jit
def remove(batch: Batch, seat: int) -> None:
    """A request leaves, finished or preempted."""
    unschedule(batch, seat)
    earlier, later = batch.earlier[seat], batch.later[seat]
    batch.later[earlier] = later
    batch.earlier[later] = earlier
    batch.request[seat] = NONE
    batch.totals.running -= 1
    batch.free_seats[len(batch.request) - 1 - batch.totals.running] = seat


@jit
def last(batch: Batch) -> int:
    """The seat admitted last: the first to be preempted."""
    return batch.earlier[len(batch.request)]


@jit
def schedule(batch: Batch, seat: int, step: int) -> None:
    """Note that the seat's request ends in step `step`."""
    page = step & (len(batch.calendar) - 1)
    first = batch.calendar[page]
    batch.due[seat] = step
    batch.before[seat] = NONE
    batch.after[seat] = first
    if first != NONE:
        batch.before[first] = seat
    batch.calendar[page] = seat


@jit
def unschedule(batch: Batch, seat: int) -> None:
    """Take the seat off the calendar, if it is there."""
    if batch.due[seat] == NONE:
        return
    before, after = batch.before[seat], batch.after[seat]
    if before == NONE:
        batch.calendar[batch.due[seat] & (len(batch.calendar) - 1)] = after
    else:
        batch.after[before] = after
    if after != NONE:
        batch.before[after] = before
    batch.due[seat] = NONE


@jit
def first_due(batch: Batch, step: int) -> int:
    """The first seat on the page of this step, or NONE; `batch.after` leads on."""
    return batch.calendar[step & (len(batch.calendar) - 1)]


@jit
def filled_by(batch: Batch, step: int) -> int:
    """Decoding requests that need one more block in this step."""
    return batch.filling[step % len(batch.filling)]
