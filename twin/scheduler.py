"""One pass of vLLM's V1 scheduler: running requests first, then the waiting ones.

Names and order follow `vllm/v1/core/sched/scheduler.py`. What differs is only the bookkeeping: a decoding request is
looked at in the steps in which it needs a KV block or ends, not in every step (see `twin.batch`), and skipped
requests are not walked over but counted (see `twin.waiting`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin import adapter_cache, batch, waiting
from twin.adapter_cache import AdapterCache
from twin.batch import NONE, RUNNING, Batch
from twin.compiled import jit
from twin.waiting import OUTSIDE, Queue

# Rows of Scheduler.state
STEP, FREE_BLOCKS, PARTIAL, ACTIVE_ADAPTERS, PREEMPTIONS, LOADS = range(6)
# Rows of Scheduler.output
PREFILL_TOKENS, SCANNED, PREEMPTED, FRESH, ENTERED, FINISHED = range(6)


class Settings(NamedTuple):
    """What of the server's configuration a scheduler pass depends on."""

    max_num_seqs: int
    max_num_batched_tokens: int
    max_loras: int
    max_cpu_loras: int
    block_size: int
    preallocated_blocks: int
    admission_needs_whole_prompt: bool


class Demand(NamedTuple):
    """The requests, in order of arrival, and what loading their adapters costs."""

    arrival_s: NDArray[np.float64]
    adapter: NDArray[np.int32]
    prompt: NDArray[np.int32]
    """Tokens."""
    answer: NDArray[np.int32]
    """Tokens."""
    load_from_memory_ms: NDArray[np.float64]
    """Of each adapter."""
    load_from_disk_ms: NDArray[np.float64]
    """Of each adapter."""


class Scheduler(NamedTuple):
    """The engine's state between steps."""

    settings: Settings
    demand: Demand
    queue: Queue
    batch: Batch
    slots: AdapterCache
    host: AdapterCache
    turn: NDArray[np.int32]
    """Of each adapter, its place in the order in which a batch's adapters are gone through."""
    in_turn: NDArray[np.int32]
    """The adapters in that order."""
    running_of: NDArray[np.int32]
    """Of each adapter, its running requests."""
    generated: NDArray[np.int32]
    """Of each request, the tokens it had when it was last preempted."""
    state: NDArray[np.int64]
    """[step, free KV blocks, seat whose prompt is partly computed or NONE, adapters in the batch, preemptions so far,
    adapter loads so far]"""
    output: NDArray[np.int64]
    """Of this step: [prefill tokens, waiting requests looked at, requests preempted, prompts completed (their
    requests are in `fresh`), adapters new in the batch (in `entered`), requests finished (in `due`)]"""
    fresh: NDArray[np.int32]
    """Requests whose prompt completes in this step."""
    entered: NDArray[np.int32]
    """Adapters that were not in the batch before."""
    due: NDArray[np.int32]
    """Scratch: seats that need a block in this step; after it, the requests that finished."""


def new(settings: Settings, demand: Demand, blocks: int) -> Scheduler:
    """A scheduler at step 0 with `blocks` usable KV blocks.

    The adapters are in host memory already, as far as it holds them: `--lora-modules` loads them one by one at start.
    """
    adapters, requests = len(demand.load_from_memory_ms), len(demand.arrival_s)
    turn = turns(adapters)
    host = adapter_cache.empty(adapters, settings.max_cpu_loras)
    for adapter in range(max(0, adapters - settings.max_cpu_loras), adapters):
        adapter_cache.bring_in(host, adapter)
        adapter_cache.release(host, adapter, adapter - adapters - 1, turn)
    return Scheduler(
        settings=settings,
        demand=demand,
        queue=waiting.empty(adapters, requests),
        batch=batch.empty(settings.max_num_seqs, longest_output=int(demand.answer.max(initial=1))),
        slots=adapter_cache.empty(adapters, settings.max_loras),
        host=host,
        turn=turn,
        in_turn=np.argsort(turn).astype(np.int32),
        running_of=np.zeros(adapters, dtype=np.int32),
        generated=np.zeros(requests, dtype=np.int32),
        state=np.array([0, blocks, NONE, 0, 0, 0], dtype=np.int64),
        output=np.zeros(6, dtype=np.int64),
        fresh=np.zeros(settings.max_num_seqs, dtype=np.int32),
        entered=np.zeros(settings.max_num_seqs, dtype=np.int32),
        due=np.zeros(settings.max_num_seqs, dtype=np.int32),
    )


def turns(adapters: int) -> NDArray[np.int32]:
    """Of each adapter, its place in the order in which a batch is gone through: any, but always the same."""
    return np.random.default_rng(0).permutation(adapters).astype(np.int32)


@jit
def schedule(scheduler: Scheduler) -> float:
    """Decide what this step computes; return the ms spent on loading adapters for it."""
    state, output = scheduler.state, scheduler.output
    output[:] = 0
    _extend_running(scheduler)
    decoding = scheduler.batch.totals[RUNNING]
    partial = state[PARTIAL]
    if partial != NONE:
        decoding -= 1
    budget = scheduler.settings.max_num_batched_tokens - decoding
    if partial != NONE:
        budget -= _continue_prompt(scheduler, partial, budget)
    if output[PREEMPTED] == 0:
        _admit_waiting(scheduler, budget)
    return _load_adapters(scheduler)


@jit
def update(scheduler: Scheduler) -> None:
    """After the step has run: what has produced its last token leaves and frees its blocks.

    The finished requests are left in `scheduler.due`, their number in `output[FINISHED]`.
    """
    seats, state, due = scheduler.batch, scheduler.state, scheduler.due
    count = 0
    seat = batch.first_due(seats, state[STEP])
    while seat != NONE:
        due[count] = seat
        count += 1
        seat = seats.after[seat]
    batch.sort_by_admission(seats, due, count)
    for i in range(count):
        request = seats.request[due[i]]
        _leave(scheduler, due[i], state[STEP])
        due[i] = request
    scheduler.output[FINISHED] = count
    state[STEP] += 1


@jit
def _extend_running(scheduler: Scheduler) -> None:
    """Give a block to every decoding request that has filled its own, in order of admission."""
    seats, state, due = scheduler.batch, scheduler.state, scheduler.due
    count = 0
    seat = batch.first_due(seats, state[STEP])
    while seat != NONE:
        if _block_step(scheduler, seat) == state[STEP]:
            due[count] = seat
            count += 1
        seat = seats.after[seat]
    if count * (1 + scheduler.settings.preallocated_blocks) > state[FREE_BLOCKS]:
        batch.sort_by_admission(seats, due, count)
    for i in range(count):
        seat = due[i]
        while seats.request[seat] != NONE and state[FREE_BLOCKS] == 0:
            _preempt(scheduler, batch.last(seats))
        if seats.request[seat] != NONE:
            batch.unschedule(seats, seat)
            _allocate(scheduler, seat, 1)
            _schedule_next(scheduler, seat)


@jit
def _continue_prompt(scheduler: Scheduler, seat: int, budget: int) -> int:
    """The next chunk of the prompt that did not fit into the step before; return its tokens.

    There is at most one such prompt, and it is the last of the running requests: after it no budget was left.
    """
    seats = scheduler.batch
    request = seats.request[seat]
    tokens = scheduler.demand.prompt[request] + scheduler.generated[request]
    chunk = min(tokens - seats.computed[seat], budget)
    needed = _blocks(scheduler, seats.computed[seat] + chunk) - seats.blocks[seat]
    if needed > scheduler.state[FREE_BLOCKS]:
        _preempt(scheduler, seat)
        return 0
    if needed > 0:
        _allocate(scheduler, seat, needed)
    seats.computed[seat] += chunk
    scheduler.output[PREFILL_TOKENS] += chunk
    if seats.computed[seat] == tokens:
        scheduler.state[PARTIAL] = NONE
        _complete_prompt(scheduler, seat)
    return chunk


@jit
def _admit_waiting(scheduler: Scheduler, budget: int) -> None:
    """Admit waiting requests while budget, seats and blocks last."""
    state, output, queue, settings = scheduler.state, scheduler.output, scheduler.queue, scheduler.settings
    while budget > 0 and scheduler.batch.totals[RUNNING] < settings.max_num_seqs:
        adapter = waiting.next_adapter(queue, state[ACTIVE_ADAPTERS] == settings.max_loras)
        if adapter == waiting.NONE:
            break
        output[SCANNED] += 1
        request = queue.first[adapter]
        tokens = scheduler.demand.prompt[request] + scheduler.generated[request]
        chunk = min(tokens, budget)
        room = tokens if settings.admission_needs_whole_prompt else chunk
        if _blocks(scheduler, room) > state[FREE_BLOCKS]:
            break
        waiting.pop(queue, adapter)
        if scheduler.running_of[adapter] == 0:
            _enter(scheduler, adapter)
        scheduler.running_of[adapter] += 1
        seat = batch.admit(scheduler.batch, request)
        _allocate(scheduler, seat, _blocks(scheduler, chunk))
        scheduler.batch.computed[seat] = chunk
        budget -= chunk
        output[PREFILL_TOKENS] += chunk
        if chunk == tokens:
            _complete_prompt(scheduler, seat)
        else:
            state[PARTIAL] = seat
    if state[ACTIVE_ADAPTERS] == settings.max_loras:
        # Deviation: a scan that ends early, for want of blocks or budget, is counted as if it had passed over
        # everything that cannot get a slot.
        output[SCANNED] += queue.totals[OUTSIDE]


@jit
def _complete_prompt(scheduler: Scheduler, seat: int) -> None:
    """This step computes the end of the prompt and so produces a token."""
    request = scheduler.batch.request[seat]
    scheduler.fresh[scheduler.output[FRESH]] = request
    scheduler.output[FRESH] += 1
    scheduler.batch.origin[seat] = scheduler.state[STEP] - scheduler.generated[request] - 1
    _schedule_next(scheduler, seat)


@jit
def _schedule_next(scheduler: Scheduler, seat: int) -> None:
    """Note the seat's next event: its blocks are full, or its answer ends."""
    finish = scheduler.batch.origin[seat] + scheduler.demand.answer[scheduler.batch.request[seat]]
    batch.schedule(scheduler.batch, seat, min(finish, _block_step(scheduler, seat)))


@jit
def _block_step(scheduler: Scheduler, seat: int) -> int:
    """The first step in which the seat's blocks do not hold all its tokens.

    In step s a decoding request needs room for its prompt and the s - 1 - origin tokens it has produced.
    """
    seats = scheduler.batch
    room = scheduler.settings.block_size * seats.blocks[seat] - scheduler.demand.prompt[seats.request[seat]]
    return seats.origin[seat] + room + 2


@jit
def _blocks(scheduler: Scheduler, tokens: int) -> int:
    """KV blocks that hold so many tokens."""
    return -(-tokens // scheduler.settings.block_size)


@jit
def _allocate(scheduler: Scheduler, seat: int, needed: int) -> None:
    """Take the blocks needed, which are free, and what is preallocated with them while there are any."""
    taken = min(needed + scheduler.settings.preallocated_blocks, scheduler.state[FREE_BLOCKS])
    scheduler.state[FREE_BLOCKS] -= taken
    scheduler.batch.blocks[seat] += taken


@jit
def _preempt(scheduler: Scheduler, seat: int) -> None:
    """Take all blocks from a running request and send it to the front of the queue, to be recomputed."""
    seats, state = scheduler.batch, scheduler.state
    request = seats.request[seat]
    if seat == state[PARTIAL]:
        state[PARTIAL] = NONE
    else:
        scheduler.generated[request] = state[STEP] - 1 - seats.origin[seat]
    _leave(scheduler, seat, state[STEP] - 1)
    waiting.append_left(scheduler.queue, request, scheduler.demand.adapter[request])
    state[PREEMPTIONS] += 1
    scheduler.output[PREEMPTED] += 1


@jit
def _enter(scheduler: Scheduler, adapter: int) -> None:
    """The adapter is in the batch from now on."""
    scheduler.entered[scheduler.output[ENTERED]] = adapter
    scheduler.output[ENTERED] += 1
    scheduler.state[ACTIVE_ADAPTERS] += 1
    waiting.move(scheduler.queue, adapter, True)


@jit
def _leave(scheduler: Scheduler, seat: int, last_step: int) -> None:
    """A request is out of the batch, `last_step` being the last one it was part of; so may be its adapter."""
    adapter = scheduler.demand.adapter[scheduler.batch.request[seat]]
    scheduler.state[FREE_BLOCKS] += scheduler.batch.blocks[seat]
    batch.remove(scheduler.batch, seat)
    scheduler.running_of[adapter] -= 1
    if scheduler.running_of[adapter] == 0:
        scheduler.state[ACTIVE_ADAPTERS] -= 1
        adapter_cache.release(scheduler.slots, adapter, last_step, scheduler.turn)
        adapter_cache.release(scheduler.host, adapter, last_step, scheduler.turn)
        waiting.move(scheduler.queue, adapter, False)


@jit
def _load_adapters(scheduler: Scheduler) -> float:
    """Bring the adapters of the batch into slots, by way of host memory; return the ms that takes."""
    slots, host = scheduler.slots, scheduler.host
    missing, load_ms = 0, 0.0
    for i in range(scheduler.output[ENTERED]):
        adapter = scheduler.entered[i]
        if not host.resident[adapter]:
            return _go_through_batch(scheduler)
        if not slots.resident[adapter]:
            missing += 1
            load_ms += scheduler.demand.load_from_memory_ms[adapter]
    if missing > _spare(scheduler, missing):
        return _go_through_batch(scheduler)
    for i in range(scheduler.output[ENTERED]):
        adapter = scheduler.entered[i]
        adapter_cache.touch(host, adapter)
        adapter_cache.touch(slots, adapter)
        if not slots.resident[adapter]:
            adapter_cache.make_room(slots, scheduler.state[STEP], NONE, scheduler.turn)
            adapter_cache.bring_in(slots, adapter)
    scheduler.state[LOADS] += missing
    return load_ms


@jit
def _spare(scheduler: Scheduler, wanted: int) -> int:
    """Slots, up to `wanted`, that are empty or held by adapters idle for so long that they leave before any other."""
    slots = scheduler.slots
    spare = slots.held[adapter_cache.CAPACITY] - slots.held[adapter_cache.SIZE]
    idle = slots.newer[len(slots.resident)]
    while (
        spare < wanted
        and idle != len(slots.resident)
        and slots.last_used[idle] < scheduler.state[STEP] - 1
        and scheduler.running_of[idle] == 0
    ):
        spare += 1
        idle = slots.newer[idle]
    return spare


@jit
def _go_through_batch(scheduler: Scheduler) -> float:
    """Touch or load every adapter of the batch in turn (see `twin.adapter_cache`)."""
    slots, host, step = scheduler.slots, scheduler.host, scheduler.state[STEP]
    load_ms = 0.0
    for i in range(len(scheduler.in_turn)):
        adapter = scheduler.in_turn[i]
        if scheduler.running_of[adapter] == 0:
            continue
        if not host.resident[adapter]:
            load_ms += scheduler.demand.load_from_disk_ms[adapter]
            following = _following(scheduler, host, i)
            evicted = adapter_cache.make_room(host, step, following, scheduler.turn)
            if evicted != NONE and slots.resident[evicted]:
                adapter_cache.drop(slots, evicted)
            adapter_cache.bring_in(host, adapter)
        adapter_cache.touch(host, adapter)
        if not slots.resident[adapter]:
            load_ms += scheduler.demand.load_from_memory_ms[adapter]
            scheduler.state[LOADS] += 1
            adapter_cache.make_room(slots, step, _following(scheduler, slots, i), scheduler.turn)
            adapter_cache.bring_in(slots, adapter)
        adapter_cache.touch(slots, adapter)
    return load_ms


@jit
def _following(scheduler: Scheduler, cache: AdapterCache, i: int) -> int:
    """The next adapter in turn after the i-th that is resident and not idle, or NONE."""
    for later in range(i + 1, len(scheduler.in_turn)):
        adapter = scheduler.in_turn[later]
        if scheduler.running_of[adapter] > 0 and cache.resident[adapter] and cache.newer[adapter] == NONE:
            return adapter
    return NONE
