"""One pass of vLLM's V1 scheduler: running requests first, then the waiting ones.

Names and order follow `vllm/v1/core/sched/scheduler.py`. What differs is only the bookkeeping: a decoding request is
looked at when it ends or when blocks run short, not in every step (see `batch`), and skipped requests are not walked
over but counted (see `waiting`).
"""

from __future__ import annotations

from twin.engine.compiled import jit
from twin.engine.scheduler import adapter_cache, batch, kv_blocks, waiting
from twin.engine.scheduler.batch import NONE
from twin.engine.scheduler.loading import load_adapters
from twin.engine.scheduler.state import Scheduler, StepOutput


@jit
def schedule(scheduler: Scheduler) -> float:
    """Decide what this step computes; return the ms spent on loading adapters for it."""
    state, output = scheduler.state, scheduler.output
    _begin(output)
    _extend_running(scheduler)
    decoding = scheduler.batch.totals.running - state.ended
    partial = state.partial
    output.base_tokens = scheduler.running_of[len(scheduler.turn)] - 1
    if partial != NONE:
        decoding -= 1
        output.base_tokens -= _base_tokens(scheduler, scheduler.batch.request[partial], 1)
    budget = scheduler.config.max_num_batched_tokens - decoding
    if partial != NONE:
        budget -= _continue_prompt(scheduler, partial, budget)
    if output.preempted == 0:
        _admit_waiting(scheduler, budget)
    return load_adapters(scheduler)


@jit
def _begin(output: StepOutput) -> None:
    """Nothing has happened in this step yet."""
    output.prefill_tokens = output.scanned = output.preempted = output.stopped = 0
    output.fresh = output.entered = output.finished = output.released = 0


@jit
def update(scheduler: Scheduler) -> None:
    """After the step has run: what has produced its last token leaves and frees its blocks.

    With async scheduling the next step is scheduled before this one's tokens are known: it finds the adapter gone, for
    it schedules nothing for the request, but seat and blocks still taken (`AsyncScheduler`, `num_output_placeholders`).
    The finished requests are left in `scheduler.due`, their number in `output.finished`.
    """
    seats, state, due = scheduler.batch, scheduler.state, scheduler.due
    if scheduler.config.async_scheduling:
        _release_ended(scheduler)
    count = 0
    seat = batch.first_due(seats, state.step)
    while seat != NONE:
        due[count] = seat
        count += 1
        seat = seats.after[seat]
    if scheduler.config.enable_prefix_caching:
        _sort_by_admission(scheduler, count)
    for i in range(count):
        seat = due[i]
        due[i] = seats.request[seat]
        _leave(scheduler, seat, state.step)
        if scheduler.config.async_scheduling:
            batch.unschedule(seats, seat)
            scheduler.ended[i] = seat
        else:
            _release(scheduler, seat, state.step, 0, NONE)
    if scheduler.config.async_scheduling:
        scheduler.ended[count] = NONE
        state.ended = count
    scheduler.output.finished = count
    state.step += 1


@jit
def _extend_running(scheduler: Scheduler) -> None:
    """Give a block to every decoding request that has filled its own: in order of admission if not all can have one."""
    seats, state = scheduler.batch, scheduler.state
    filled = batch.filled_by(seats, state.step)
    if filled <= state.free_blocks:
        kv_blocks.take(scheduler, filled)
        return
    page, head = state.step % len(seats.filling), len(seats.request)
    seat = seats.later[head]
    while seat != head:
        if _decodes(scheduler, seat) and _page(scheduler, seat) == page:
            while seats.request[seat] != NONE and state.free_blocks == 0:
                _preempt(scheduler, batch.last(seats))
            if seats.request[seat] == NONE:
                return
            kv_blocks.take(scheduler, 1)
        seat = seats.later[seat]


@jit
def _continue_prompt(scheduler: Scheduler, seat: int, budget: int) -> int:
    """The next chunk of the prompt that did not fit into the step before; return its tokens.

    There is at most one such prompt, and it is the last of the running requests: after it no budget was left.
    """
    seats = scheduler.batch
    request = seats.request[seat]
    tokens = scheduler.demand.prompt[request] + scheduler.generated[request]
    chunk = min(tokens - seats.computed[seat], budget)
    needed = kv_blocks.needed(scheduler, seats.computed[seat] + chunk) - kv_blocks.needed(
        scheduler, seats.computed[seat]
    )
    if needed > scheduler.state.free_blocks:
        _preempt(scheduler, seat)
        return 0
    kv_blocks.take(scheduler, needed)
    seats.computed[seat] += chunk
    kv_blocks.hold_prefix(scheduler, seat)
    scheduler.output.prefill_tokens += chunk
    scheduler.output.base_tokens += _base_tokens(scheduler, request, chunk)
    if seats.computed[seat] == tokens:
        scheduler.state.partial = NONE
        _complete_prompt(scheduler, seat)
    return chunk


@jit
def _admit_waiting(scheduler: Scheduler, budget: int) -> None:
    """Admit waiting requests while budget, seats and blocks last; a full batch leaves the queue unseen."""
    state, output, queue, config = scheduler.state, scheduler.output, scheduler.queue, scheduler.config
    if budget <= 0 or scheduler.batch.totals.running >= config.max_num_seqs:
        return
    reached = waiting.NOWHERE
    while budget > 0 and scheduler.batch.totals.running < config.max_num_seqs:
        adapter = waiting.next_adapter(queue, state.slot_holders == config.max_loras)
        if adapter == waiting.NONE:
            reached = waiting.THE_END
            break
        output.scanned += 1
        request = queue.first[adapter]
        reached = queue.place[request]
        tokens = scheduler.demand.prompt[request] + scheduler.generated[request]
        found = kv_blocks.find(scheduler, adapter, request)
        cached = found * config.block_size
        chunk = min(tokens - cached, budget)
        room = tokens if config.scheduler_reserve_full_isl else cached + chunk
        if (
            kv_blocks.needed(scheduler, room) - found + kv_blocks.unused(scheduler, adapter, request, found)
            > state.free_blocks
        ):
            break
        waiting.pop(queue, adapter)
        _enter(scheduler, adapter)
        seat = batch.admit(scheduler.batch, request)
        scheduler.batch.computed[seat] = cached + chunk
        kv_blocks.use(scheduler, seat, found)
        kv_blocks.take(scheduler, kv_blocks.needed(scheduler, cached + chunk) - found)
        kv_blocks.hold_prefix(scheduler, seat)
        budget -= chunk
        output.prefill_tokens += chunk
        output.base_tokens += _base_tokens(scheduler, request, chunk)
        if cached + chunk == tokens:
            _complete_prompt(scheduler, seat)
        else:
            state.partial = seat
    if state.slot_holders == config.max_loras:
        # Deviation: a scan that ends early, for want of blocks or budget, is counted as if it had passed over
        # everything that cannot get a slot.
        output.scanned += queue.totals.outside
    if config.skipped_waiting:
        waiting.set_skipped_aside(queue, reached, scheduler.demand.adapter)


@jit
def _complete_prompt(scheduler: Scheduler, seat: int) -> None:
    """This step computes the end of the prompt and so produces a token."""
    request = scheduler.batch.request[seat]
    scheduler.fresh[scheduler.output.fresh] = request
    scheduler.output.fresh += 1
    origin = scheduler.state.step - scheduler.generated[request] - 1
    scheduler.batch.origin[seat] = origin
    batch.schedule(scheduler.batch, seat, origin + scheduler.demand.answer[request])
    scheduler.batch.filling[_page(scheduler, seat)] += 1


@jit
def _base_tokens(scheduler: Scheduler, request: int, tokens: int) -> int:
    """These tokens, if their request names no adapter, else 0."""
    return tokens if scheduler.demand.adapter[request] == len(scheduler.turn) else 0


@jit
def _decodes(scheduler: Scheduler, seat: int) -> bool:
    """Whether the seat's prompt is done and its answer is not."""
    return scheduler.batch.due[seat] != NONE


@jit
def _page(scheduler: Scheduler, seat: int) -> int:
    """Where the seat is counted in `filling`: it needs one more block in every step with this remainder."""
    seats = scheduler.batch
    return (seats.origin[seat] + 2 - scheduler.demand.prompt[seats.request[seat]]) % len(seats.filling)


@jit
def _tokens_held(scheduler: Scheduler, seat: int, step: int) -> int:
    """Tokens that a seat has KV for after step `step`, the last one it was given tokens in.

    The prompt as far as it was computed and then, in step s, the s - 1 - origin tokens produced before.
    """
    seats = scheduler.batch
    if seat == scheduler.state.partial:
        return seats.computed[seat]
    return scheduler.demand.prompt[seats.request[seat]] + step - 1 - seats.origin[seat]


@jit
def _on_its_way(scheduler: Scheduler, seat: int, step: int) -> int:
    """Of these tokens, the one that is not known yet: with async scheduling, that which step `step` has computed."""
    seats = scheduler.batch
    request = seats.request[seat]
    first = seats.origin[seat] + scheduler.generated[request] + 1
    return 1 if scheduler.config.async_scheduling and seat != scheduler.state.partial and step > first else 0


@jit
def _preempt(scheduler: Scheduler, seat: int) -> None:
    """Take all blocks from a running request and send it to the front of the queue, to be recomputed."""
    seats, state = scheduler.batch, scheduler.state
    request = seats.request[seat]
    last_step = state.step - 1
    on_its_way = _on_its_way(scheduler, seat, last_step)
    state.preemptions += 1
    scheduler.output.preempted += 1
    if _decodes(scheduler, seat):
        scheduler.generated[request] = last_step - seats.origin[seat]
        scheduler.stopped[scheduler.output.stopped] = request
        scheduler.output.stopped += 1
    elif seat != state.partial:
        # It has ended (async scheduling): its last token is on its way, it does not return to the queue.
        state.ended -= 1
        _release(scheduler, seat, last_step, on_its_way, NONE)
        return
    _leave(scheduler, seat, last_step)
    _release(scheduler, seat, last_step, on_its_way, request)
    if seat == state.partial:
        state.partial = NONE
    waiting.append_left(scheduler.queue, request, scheduler.demand.adapter[request])


@jit
def _enter(scheduler: Scheduler, adapter: int) -> None:
    """A request of the adapter is in the batch from now on."""
    if scheduler.running_of[adapter] == 0:
        scheduler.entered[scheduler.output.entered] = adapter
        scheduler.output.entered += 1
        scheduler.in_batch[scheduler.state.active_adapters] = adapter
        scheduler.place[adapter] = scheduler.state.active_adapters
        scheduler.state.active_adapters += 1
    scheduler.running_of[adapter] += 1
    if scheduler.seats_of[adapter] == 0:
        scheduler.state.slot_holders += 1
        waiting.move(scheduler.queue, adapter, True)
    scheduler.seats_of[adapter] += 1


@jit
def _leave(scheduler: Scheduler, seat: int, last_step: int) -> None:
    """A request is out of the batch, `last_step` being the last one it was part of; so may be its adapter."""
    if _decodes(scheduler, seat):
        scheduler.batch.filling[_page(scheduler, seat)] -= 1
    adapter = scheduler.demand.adapter[scheduler.batch.request[seat]]
    scheduler.running_of[adapter] -= 1
    if scheduler.running_of[adapter] == 0:
        scheduler.state.active_adapters -= 1
        last = scheduler.in_batch[scheduler.state.active_adapters]
        scheduler.in_batch[scheduler.place[adapter]] = last
        scheduler.place[last] = scheduler.place[adapter]
        adapter_cache.unpin(scheduler.slots, adapter, last_step, scheduler.turn)
        adapter_cache.unpin(scheduler.host, adapter, last_step, scheduler.turn)
    if not scheduler.config.unscheduled_hold_slots:
        _let_go(scheduler, adapter)


@jit
def _let_go(scheduler: Scheduler, adapter: int) -> None:
    """A request of the adapter counts against the slots no longer."""
    scheduler.seats_of[adapter] -= 1
    if scheduler.seats_of[adapter] == 0:
        scheduler.state.slot_holders -= 1
        waiting.move(scheduler.queue, adapter, False)


@jit
def _release(scheduler: Scheduler, seat: int, last_step: int, on_its_way: int, preempted: int) -> None:
    """Seat and blocks are free again; `last_step` is the last one the seat was given tokens in.

    `on_its_way` of the tokens are not known yet; `preempted` is the request, or NONE if it does not come back.
    """
    tokens = _tokens_held(scheduler, seat, last_step)
    blocks = kv_blocks.needed(scheduler, tokens)
    if scheduler.config.enable_prefix_caching:
        blocks = kv_blocks.give_back(
            scheduler, seat, blocks, (tokens - on_its_way) // scheduler.config.block_size, preempted
        )
    scheduler.state.free_blocks += blocks
    if scheduler.config.unscheduled_hold_slots:
        _let_go(scheduler, scheduler.demand.adapter[scheduler.batch.request[seat]])
    batch.remove(scheduler.batch, seat)


@jit
def _release_ended(scheduler: Scheduler) -> None:
    """The outputs of the step before are in: seats and blocks of what ended in it are free for the next one."""
    i = 0
    while scheduler.ended[i] != NONE:
        seat = scheduler.ended[i]
        if scheduler.batch.request[seat] != NONE:  # else it was preempted
            _release(scheduler, seat, scheduler.state.step - 1, 0, NONE)
        i += 1
    scheduler.output.released = i


@jit
def _sort_by_admission(scheduler: Scheduler, count: int) -> None:
    """Insertion sort of the seats that are due: they give their blocks back in the order of the running requests."""
    due, admission = scheduler.due, scheduler.prefixes.admission
    for i in range(1, count):
        seat = due[i]
        j = i
        while j > 0 and admission[due[j - 1]] > admission[seat]:
            due[j] = due[j - 1]
            j -= 1
        due[j] = seat
