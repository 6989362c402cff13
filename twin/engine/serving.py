"""The engine: an hour of serving, step by step.

    arrivals -> waiting queue -> scheduler -> step of so many ms -> tokens, finished requests -> ...

Steps in which nothing happens but one more token for every running request are repeated without looking again; the
clock adds up the same numbers either way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.engine import batch, waiting
from twin.engine.batch import NONE, RUNNING
from twin.engine.compiled import entry_point, jit
from twin.engine.latency import StepCost, step_ms
from twin.engine.scheduler import schedule, update
from twin.engine.state import (
    ACTIVE_ADAPTERS,
    ENDED,
    FINISHED,
    FREE_BLOCKS,
    FRESH,
    PARTIAL,
    PREEMPTED,
    PREFILL_TOKENS,
    RELEASED,
    SCANNED,
    STEP,
    Scheduler,
)
from twin.engine.waiting import WAITING

# Rows of Log.clock_s
NOW, SEEN = range(2)
# Rows of Log.sums
RUNNING_S, WAITING_S, ADAPTER_STEPS, BUSY_S, EAGER_TOKENS, MERGED = range(6)
# Rows of Log.counts
NEXT_ARRIVAL, DROPPED, WAITING_MAX = range(3)


class Log(NamedTuple):
    """What is recorded while serving."""

    first_token_s: NDArray[np.float64]
    """Of each request; 0 while it has none."""
    finish_s: NDArray[np.float64]
    """Of each request; 0 while it is not finished."""
    clock_s: NDArray[np.float64]
    """[now, the time up to which the next step knows what has arrived]"""
    sums: NDArray[np.float64]
    """[integral of running requests over s, of waiting requests over s, sum over steps of adapters in the batch,
    s spent in steps, sum over steps of tokens beyond those of the largest CUDA graph, sum over output tokens that may
    be merged of the adapters that come and go]"""
    counts: NDArray[np.int64]
    """[next request to arrive, requests that found no connection, most requests waiting]"""


def new_log(requests: int) -> Log:
    """An empty log at time 0."""
    return Log(
        first_token_s=np.zeros(requests),  # memory that nobody has written to takes no room
        finish_s=np.zeros(requests),
        clock_s=np.zeros(2),
        sums=np.zeros(6),
        counts=np.zeros(3, dtype=np.int64),
    )


@entry_point
def serve(scheduler: Scheduler, cost: StepCost, log: Log, until_s: float, max_connections: int) -> None:
    """Serve until the clock reaches `until_s` or nothing is left to do."""
    clock_s = log.clock_s
    while clock_s[NOW] < until_s:
        _receive(scheduler, log, max_connections)
        idle = scheduler.batch.totals[RUNNING] == 0
        if idle and scheduler.queue.totals[WAITING] == 0:
            _await_arrival(scheduler, log, until_s)
            continue
        duration_s = step(scheduler, cost, log)
        if idle and duration_s == 0.0:  # whoever is first in the queue is too long for the whole KV cache
            _await_arrival(scheduler, log, until_s)
        if _nothing_happened(scheduler):
            _repeat(scheduler, cost, log, duration_s, until_s)


@jit
def step(scheduler: Scheduler, cost: StepCost, log: Log) -> float:
    """Schedule, run and account for one step; return its duration in s."""
    load_ms = schedule(scheduler)
    state, output = scheduler.state, scheduler.output
    running = _in_service(scheduler)
    prefilling = output[FRESH] + (1 if state[PARTIAL] != NONE else 0)
    duration_s = 0.0
    if running:
        duration_s = 1e-3 * (
            load_ms
            + step_ms(cost, running - prefilling, output[PREFILL_TOKENS], state[ACTIVE_ADAPTERS], output[SCANNED])
        )
    _advance(scheduler, log, duration_s)
    _account(scheduler, cost, log, duration_s, 1)
    now = log.clock_s[NOW]
    for i in range(output[FRESH]):
        request = scheduler.fresh[i]
        if log.first_token_s[request] == 0.0:
            log.first_token_s[request] = now
    update(scheduler)
    for i in range(output[FINISHED]):
        log.finish_s[scheduler.due[i]] = now
    return duration_s


@jit
def _receive(scheduler: Scheduler, log: Log, max_connections: int) -> None:
    """Queue what has arrived, as far as the next step knows, unless the client has no connection left for it."""
    queue, counts, arrival_s = scheduler.queue, log.counts, scheduler.demand.arrival_s
    request = counts[NEXT_ARRIVAL]
    while request < len(arrival_s) and arrival_s[request] <= log.clock_s[SEEN]:
        if max_connections and queue.totals[WAITING] + _in_service(scheduler) >= max_connections:
            counts[DROPPED] += 1
        else:
            waiting.append(queue, request, scheduler.demand.adapter[request])
        request += 1
    counts[NEXT_ARRIVAL] = request


@jit
def _advance(scheduler: Scheduler, log: Log, duration_s: float) -> None:
    """Move the clock on by one step. With async scheduling the next step was scheduled when this one began."""
    log.clock_s[SEEN] = log.clock_s[NOW]
    log.clock_s[NOW] += duration_s
    if not scheduler.settings.async_scheduling:
        log.clock_s[SEEN] = log.clock_s[NOW]


@jit
def _account(scheduler: Scheduler, cost: StepCost, log: Log, duration_s: float, steps: int) -> None:
    """Add so many steps alike to the sums."""
    running, adapters, queued = (
        _in_service(scheduler),
        scheduler.state[ACTIVE_ADAPTERS],
        scheduler.queue.totals[WAITING],
    )
    log.sums[BUSY_S] += duration_s * steps
    log.sums[EAGER_TOKENS] += steps * max(running + scheduler.output[PREFILL_TOKENS] - cost.graph_tokens, 0)
    if running <= cost.merge_requests:
        log.sums[MERGED] += steps * running * adapters * (1.0 - adapters / len(scheduler.running_of))
    log.sums[RUNNING_S] += duration_s * steps * running
    log.sums[WAITING_S] += duration_s * steps * queued
    log.sums[ADAPTER_STEPS] += steps * adapters
    log.counts[WAITING_MAX] = max(log.counts[WAITING_MAX], queued)


@jit
def _nothing_happened(scheduler: Scheduler) -> bool:
    """Whether the step only added one token to every running request."""
    output = scheduler.output
    return (
        output[PREFILL_TOKENS] == 0
        and output[PREEMPTED] == 0
        and output[FINISHED] == 0
        and output[RELEASED] == 0
        and scheduler.batch.totals[RUNNING] > 0
    )


@jit
def _repeat(scheduler: Scheduler, cost: StepCost, log: Log, duration_s: float, until_s: float) -> None:
    """Repeat the step just taken until a request ends or arrives, blocks run short, or time is up."""
    arrival_s = _next_arrival_s(scheduler, log)
    state, clock_s = scheduler.state, log.clock_s
    steps = 0
    while (
        clock_s[NOW] < until_s
        and clock_s[SEEN] < arrival_s
        and batch.first_due(scheduler.batch, state[STEP]) == NONE
        and batch.filled_by(scheduler.batch, state[STEP]) <= state[FREE_BLOCKS]
    ):
        state[FREE_BLOCKS] -= batch.filled_by(scheduler.batch, state[STEP])
        _advance(scheduler, log, duration_s)
        state[STEP] += 1
        steps += 1
    _account(scheduler, cost, log, duration_s, steps)


@jit
def _await_arrival(scheduler: Scheduler, log: Log, until_s: float) -> None:
    """Move the clock on to the next arrival: until then nothing can happen."""
    next_s = max(log.clock_s[NOW], _next_arrival_s(scheduler, log))
    log.sums[WAITING_S] += (min(next_s, until_s) - log.clock_s[NOW]) * scheduler.queue.totals[WAITING]
    log.clock_s[NOW] = next_s
    log.clock_s[SEEN] = next_s


@jit
def _next_arrival_s(scheduler: Scheduler, log: Log) -> float:
    arrival_s, request = scheduler.demand.arrival_s, log.counts[NEXT_ARRIVAL]
    return arrival_s[request] if request < len(arrival_s) else np.inf


@jit
def _in_service(scheduler: Scheduler) -> int:
    """Running requests that have not ended."""
    return scheduler.batch.totals[RUNNING] - scheduler.state[ENDED]
