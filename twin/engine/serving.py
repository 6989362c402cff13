"""The engine: an hour of serving, step by step.

    arrivals -> waiting queue -> scheduler -> step of so many ms -> tokens, finished requests -> ...

Steps in which nothing happens but one more token for every running request are repeated without looking again; the
clock adds up the same numbers either way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.engine import latencies
from twin.engine.compiled import Record, entry_point, jit
from twin.engine.latencies import Completed, Latencies
from twin.engine.latency import StepCost, StepWork, expand_tiles, is_split, shrink_tiles, shrink_work, step_ms
from twin.engine.scheduler import batch, prefix_cache, waiting
from twin.engine.scheduler.batch import NONE
from twin.engine.scheduler.scheduler import schedule, update
from twin.engine.scheduler.state import Scheduler


class Clock(Record):
    """What time it is, s."""

    now_s: float
    seen_s: float
    """The time up to which the next step knows what has arrived."""


class Sums(Record):
    """Sums and integrals over the time served."""

    running_s: float
    """Integral of the running requests over s."""
    waiting_s: float
    """Integral of the waiting requests over s."""
    busy_s: float
    """Time spent in steps, s."""
    adapter_steps: float
    """Sum over steps of the adapters in the batch."""
    scanned: float
    """Sum over steps of the waiting requests looked at."""
    eager_tokens: float
    """Sum over steps of the tokens beyond those of the largest CUDA graph."""
    coming_and_going: float
    """Sum over output tokens of the adapters that come and go."""
    split_tokens: float
    shrink_tiles: float
    expand_tiles: float
    adapter_shrink_work: float
    adapter_expand_tiles: float
    """Sums over steps of what `twin.lora_kernels` tells, the last two times the adapters in the batch."""
    merged: float
    """The same over those that may be merged."""


class Counts(Record):
    """Requests counted."""

    next_arrival: int
    """The next request to arrive: so many have."""
    dropped: int
    """Those that found no connection."""
    waiting_max: int
    """Most that waited."""


class Log(NamedTuple):
    """What is recorded while serving."""

    first_token_s: NDArray[np.float64]
    """Of each request; 0 while it has none."""
    finish_s: NDArray[np.float64]
    """Of each request; 0 while it is not finished."""
    stopped_s: NDArray[np.float64]
    """Of each request that was preempted amid its answer, the time of its last token before."""
    clock: Clock
    sums: Sums
    counts: Counts
    completed: Completed
    latencies: Latencies


def new_log(requests: int) -> Log:
    """An empty log at time 0."""
    return Log(
        first_token_s=np.zeros(requests),  # memory that nobody has written to takes no room
        finish_s=np.zeros(requests),
        stopped_s=np.zeros(requests),
        clock=Clock.of(),
        sums=Sums.of(),
        counts=Counts.of(),
        completed=Completed.of(),
        latencies=latencies.new_latencies(),
    )


@entry_point
def serve(scheduler: Scheduler, cost: StepCost, log: Log, until_s: float, max_connections: int) -> None:
    """Serve until the clock reaches `until_s` or nothing is left to do."""
    clock = log.clock
    while clock.now_s < until_s:
        received = _receive(scheduler, log, max_connections)
        idle = scheduler.batch.totals.running == 0
        if idle and scheduler.queue.totals.waiting == 0:
            _await_arrival(scheduler, log, until_s)
            continue
        duration_s = step(scheduler, cost, log, received)
        if idle and duration_s == 0.0:  # whoever is first in the queue is too long for the whole KV cache
            _await_arrival(scheduler, log, until_s)
        if _nothing_happened(scheduler):
            _repeat(scheduler, cost, log, duration_s, until_s)


@jit
def step(scheduler: Scheduler, cost: StepCost, log: Log, received: int) -> float:
    """Schedule, run and account for one step; return its duration in s, the work for those `received` excluded."""
    load_ms = schedule(scheduler)
    for i in range(scheduler.output.stopped):
        log.stopped_s[scheduler.stopped[i]] = log.clock.now_s
    output = scheduler.output
    duration_s = arrivals_s = 0.0
    work = _work(scheduler)
    if _in_service(scheduler):
        arrivals_s = 1e-3 * cost.per_arrival_ms * received
        duration_s = 1e-3 * (load_ms + step_ms(cost, work))
    _advance(scheduler, log, duration_s + arrivals_s)
    _account(scheduler, cost, log, duration_s + arrivals_s, 1)
    _account_work(log, cost, work, 1)
    latencies.add(log.latencies.itl, duration_s + arrivals_s, work.decoding)
    now = log.clock.now_s
    for i in range(output.fresh):
        request = scheduler.fresh[i]
        if log.first_token_s[request] == 0.0:
            log.first_token_s[request] = now
        else:
            latencies.add(log.latencies.itl, now - log.stopped_s[request], 1)
    update(scheduler)
    for i in range(output.finished):
        _complete(scheduler, cost, log, scheduler.due[i])
    return duration_s


@jit
def _complete(scheduler: Scheduler, cost: StepCost, log: Log, request: int) -> None:
    """The last token of a request is there; its client may have to wait for it."""
    demand, completed = scheduler.demand, log.completed
    first_s, last_s = log.first_token_s[request], log.clock.now_s
    log.finish_s[request] = last_s
    completed.input_tokens += demand.prompt[request]
    completed.output_tokens += demand.answer[request]
    completed.decode_s += last_s - first_s
    if cost.stall_every_s:
        share = latencies.stalled_share(cost, _coming_and_going(scheduler))
        arrived_s = latencies.held_up_s(cost, share, request, 0)
        first_s += arrived_s + latencies.held_up_s(cost, share, request, 1)
        last_s = max(first_s, last_s + arrived_s + latencies.held_up_s(cost, share, request, 2))
    seen = latencies.Seen(demand.arrival_s[request], first_s, last_s, demand.answer[request] - 1)
    latencies.complete(log.latencies, completed, seen)


@jit
def _receive(scheduler: Scheduler, log: Log, max_connections: int) -> int:
    """Queue what has arrived, as far as the next step knows, unless the client has no connection left for it.

    Return how many were queued.
    """
    queue, counts, arrival_s = scheduler.queue, log.counts, scheduler.demand.arrival_s
    request, seen_s = counts.next_arrival, log.clock.seen_s
    before = request - counts.dropped
    while request < len(arrival_s) and arrival_s[request] <= seen_s:
        if max_connections and queue.totals.waiting + _in_service(scheduler) >= max_connections:
            counts.dropped += 1
        else:
            waiting.append(queue, request, scheduler.demand.adapter[request])
        request += 1
    counts.next_arrival = request
    return request - counts.dropped - before


@jit
def _advance(scheduler: Scheduler, log: Log, duration_s: float) -> None:
    """Move the clock on by one step. With async scheduling the next step was scheduled when this one began."""
    log.clock.seen_s = log.clock.now_s
    log.clock.now_s += duration_s
    if not scheduler.config.async_scheduling:
        log.clock.seen_s = log.clock.now_s


@jit
def _account(scheduler: Scheduler, cost: StepCost, log: Log, duration_s: float, steps: int) -> None:
    """Add so many steps alike to the sums."""
    running, queued = _in_service(scheduler), scheduler.queue.totals.waiting
    log.sums.busy_s += duration_s * steps
    coming_and_going = steps * running * _coming_and_going(scheduler)
    log.sums.coming_and_going += coming_and_going
    if running <= cost.merge_requests:
        log.sums.merged += coming_and_going
    log.sums.running_s += duration_s * steps * running
    log.sums.waiting_s += duration_s * steps * queued
    log.counts.waiting_max = max(log.counts.waiting_max, queued)


@jit
def _coming_and_going(scheduler: Scheduler) -> float:
    """Adapters that come and go: all in the batch, but where it holds all that there are."""
    adapters = scheduler.state.active_adapters
    return adapters * (1.0 - adapters / len(scheduler.turn)) if adapters else 0.0


@jit
def _work(scheduler: Scheduler) -> StepWork:
    """What the scheduled step does."""
    state, output = scheduler.state, scheduler.output
    prefilling = output.fresh + (1 if state.partial != NONE else 0)
    return StepWork(
        _in_service(scheduler) - prefilling,
        output.prefill_tokens,
        output.base_tokens,
        state.active_adapters,
        output.scanned,
    )


@jit
def _account_work(log: Log, cost: StepCost, work: StepWork, steps: int) -> None:
    """Add what so many steps alike had to do to the sums."""
    sums, tokens = log.sums, work.decoding + work.prefill_tokens
    sums.adapter_steps += steps * work.adapters
    sums.scanned += steps * work.scanned
    sums.eager_tokens += steps * max(tokens - cost.graph_tokens, 0)
    sums.split_tokens += steps * is_split(tokens) * (tokens - work.base_tokens)
    sums.shrink_tiles += steps * shrink_tiles(tokens)
    sums.expand_tiles += steps * expand_tiles(tokens)
    sums.adapter_shrink_work += steps * work.adapters * shrink_work(tokens)
    sums.adapter_expand_tiles += steps * work.adapters * expand_tiles(tokens)


@jit
def _nothing_happened(scheduler: Scheduler) -> bool:
    """Whether the step only added one token to every running request."""
    output = scheduler.output
    return (
        output.prefill_tokens == 0
        and output.preempted == 0
        and output.finished == 0
        and output.released == 0
        and scheduler.batch.totals.running > 0
    )


@jit
def _repeat(scheduler: Scheduler, cost: StepCost, log: Log, duration_s: float, until_s: float) -> None:
    """Repeat the step just taken until a request ends or arrives, blocks run short, or time is up."""
    arrival_s, asynchronous = _next_arrival_s(scheduler, log), scheduler.config.async_scheduling
    state, clock = scheduler.state, log.clock
    # In registers, not in memory: these few lines are what most steps consist of.
    now_s, seen_s, upcoming, free_blocks = clock.now_s, clock.seen_s, state.step, state.free_blocks
    while now_s < until_s and seen_s < arrival_s and batch.first_due(scheduler.batch, upcoming) == NONE:
        filled = batch.filled_by(scheduler.batch, upcoming)
        if filled > free_blocks:
            break
        free_blocks -= filled
        before_s = now_s
        now_s += duration_s
        seen_s = before_s if asynchronous else now_s
        upcoming += 1
    if scheduler.config.enable_prefix_caching:
        prefix_cache.take(scheduler.prefixes, state.free_blocks - free_blocks)
    steps = upcoming - state.step
    clock.now_s, clock.seen_s, state.step, state.free_blocks = now_s, seen_s, upcoming, free_blocks
    _account(scheduler, cost, log, duration_s, steps)
    _account_work(log, cost, _work(scheduler), steps)
    latencies.add(log.latencies.itl, duration_s, steps * _in_service(scheduler))


@jit
def _await_arrival(scheduler: Scheduler, log: Log, until_s: float) -> None:
    """Move the clock on to the next arrival: until then nothing can happen."""
    next_s = max(log.clock.now_s, _next_arrival_s(scheduler, log))
    log.sums.waiting_s += (min(next_s, until_s) - log.clock.now_s) * scheduler.queue.totals.waiting
    log.clock.now_s = next_s
    log.clock.seen_s = next_s


@jit
def _next_arrival_s(scheduler: Scheduler, log: Log) -> float:
    arrival_s, request = scheduler.demand.arrival_s, log.counts.next_arrival
    return arrival_s[request] if request < len(arrival_s) else np.inf


@jit
def _in_service(scheduler: Scheduler) -> int:
    """Running requests that have not ended."""
    return scheduler.batch.totals.running - scheduler.state.ended
