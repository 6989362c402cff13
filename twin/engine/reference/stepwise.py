"""The compiled twin without its clock, one step at a time: what each step decides, request by request."""

from __future__ import annotations

from twin.engine.reference.decisions import Decisions
from twin.engine.scheduler import waiting
from twin.engine.scheduler.batch import NONE
from twin.engine.scheduler.scheduler import schedule, update
from twin.engine.scheduler.state import Scheduler


def add(scheduler: Scheduler, request: int) -> None:
    """A request arrives."""
    waiting.append(scheduler.queue, request, int(scheduler.demand.adapter[request]))


def busy(scheduler: Scheduler) -> bool:
    """Whether any request is not finished, as far as the scheduler knows."""
    return bool(scheduler.batch.totals.running + scheduler.queue.totals.waiting > 0)


def step(scheduler: Scheduler, blocks: int) -> Decisions:
    """Schedule, pretend to run, update; return what was decided. `blocks` are all the KV blocks there are."""
    seats, state, output = scheduler.batch, scheduler.state, scheduler.output
    before = _running(scheduler)
    computed = {request: int(seats.computed[seat]) for request, seat in before.items()}
    schedule(scheduler)
    preempted = tuple(reversed(before))[: output.preempted]
    found = scheduler.prefixes.found * scheduler.config.block_size
    scheduled = {
        request: max(1, int(seats.computed[seat]) - computed.get(request, int(found[seat])))
        for request, seat in _running(scheduler).items()
        if not _ended(scheduler, seat)
    }
    adapters, used = int(state.active_adapters), blocks - int(state.free_blocks)
    update(scheduler)
    finished = sorted(scheduler.due[: output.finished].tolist())
    return Decisions(scheduled=scheduled, preempted=preempted, finished=tuple(finished), adapters=adapters, blocks=used)


def _running(scheduler: Scheduler) -> dict[int, int]:
    """Seats by request, in the order of admission."""
    seats, found = scheduler.batch, {}
    head = len(seats.request)
    seat = seats.later[head]
    while seat != head:
        found[int(seats.request[seat])] = int(seat)
        seat = seats.later[seat]
    return found


def _ended(scheduler: Scheduler, seat: int) -> bool:
    return bool(scheduler.batch.due[seat] == NONE and seat != scheduler.state.partial)
