"""The compiled scheduler: the same decisions as the plain reference, and invariants at every step."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.behaviour import Behaviour
from twin.engine import serving as engine
from twin.engine.latencies import percentiles_ms
from twin.engine.latency import StepCost
from twin.engine.reference.server import Server as ReferenceServer
from twin.engine.scheduler.batch import NONE
from twin.engine.scheduler.state import Demand, Scheduler, SchedulerConfig, new_scheduler

COST = StepCost(
    base_ms=12.0,
    per_request_ms=0.05,
    per_prefill_token_ms=0.07,
    per_adapter_ms=0.5,
    per_scanned_ms=0.0003,
    per_eager_token_ms=0.03,
    lora_per_token_ms=0.02,
    per_arrival_ms=0.6,
    graph_tokens=40,
)
UNTIL_S = 20.0


@st.composite
def situations(draw: st.DrawFn) -> tuple[SchedulerConfig, Demand, int, int]:
    """Scarce and plentiful slots, blocks, seats and budget; bursts and lulls; prompts of several chunks."""
    adapters = draw(st.integers(1, 12))
    requests = draw(st.integers(0, 150))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    longest_prompt = draw(st.sampled_from([20, 200, 900]))
    longest_answer = draw(st.sampled_from([1, 30, 200]))
    max_num_seqs = draw(st.sampled_from([1, 4, 64]))
    slots = draw(st.integers(1, adapters))
    chosen = SchedulerConfig(
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=draw(st.sampled_from([64, 128, 2048])),
        max_loras=slots,
        max_cpu_loras=draw(st.integers(slots, adapters)),
        block_size=16,
        scheduler_reserve_full_isl=draw(st.booleans()),
        skipped_waiting=draw(st.booleans()),
        async_scheduling=draw(st.booleans()),
        unhashed_first=draw(st.booleans()),
        unscheduled_hold_slots=draw(st.booleans()),
        enable_prefix_caching=draw(st.booleans()),
    )
    adapter = rng.integers(0, adapters, requests).astype(np.int32)
    adapter[rng.random(requests) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = NONE
    demand = Demand(
        arrival_s=np.sort(rng.uniform(0, draw(st.sampled_from([0.0, 1.0, 15.0])), requests)),
        adapter=adapter,
        prompt=rng.integers(1, longest_prompt + 1, requests).astype(np.int32),
        answer=rng.integers(1, longest_answer + 1, requests).astype(np.int32),
        load_from_memory_ms=rng.uniform(1, 5, adapters),
        load_from_disk_ms=rng.uniform(20, 50, adapters),
        shared_prefix=rng.integers(0, draw(st.sampled_from([1, 40, 300])), adapters + 1).astype(np.int32),
    )
    fits_one = -(-(longest_prompt + longest_answer) // 16)
    blocks = max(1, fits_one + draw(st.sampled_from([-2, 0, 3, 20, 2000])))
    return chosen, demand, blocks, draw(st.sampled_from([0, 0, 9]))


@settings(max_examples=150, deadline=None)
@given(situations())
def test_fast_and_reference_twin_agree_exactly(situation: tuple[SchedulerConfig, Demand, int, int]) -> None:
    chosen, demand, blocks, max_connections = situation
    for cold in (False, True):
        agree(chosen, demand, blocks, max_connections, cold=cold)


def test_adapters_that_enter_together_are_loaded_in_the_same_order() -> None:
    """Sums of their loading times differ in the last place from one order to another."""
    chosen = SchedulerConfig(
        max_num_seqs=4,
        max_num_batched_tokens=64,
        max_loras=4,
        max_cpu_loras=4,
        block_size=16,
        scheduler_reserve_full_isl=False,
        skipped_waiting=False,
        async_scheduling=False,
        unhashed_first=False,
        unscheduled_hold_slots=False,
    )
    demand = Demand(
        arrival_s=np.zeros(4),
        adapter=np.array([1, 3, 2, 0], dtype=np.int32),
        prompt=np.array([9, 1, 15, 11], dtype=np.int32),
        answer=np.ones(4, dtype=np.int32),
        load_from_memory_ms=np.array([1.54, 3.89, 3.1, 2.24]),
        load_from_disk_ms=np.array([25.7, 44.0, 25.7, 22.4]),
    )
    agree(chosen, demand, 5, 0)


def agree(chosen: SchedulerConfig, demand: Demand, blocks: int, max_connections: int, *, cold: bool = False) -> None:
    fast = new_scheduler(chosen, demand, blocks, cold=cold)
    log = engine.new_log(len(demand.arrival_s))
    engine.serve(fast, COST, log, UNTIL_S, max_connections)
    plain = ReferenceServer(chosen, demand, COST, blocks, max_connections, cold)
    steps = plain.serve(UNTIL_S)

    assert {i: t for i, t in enumerate(log.first_token_s) if t > 0} == plain.first_token_s
    assert {i: t for i, t in enumerate(log.finish_s) if t > 0} == plain.finish_s
    assert fast.state.step == len(steps)
    assert fast.state.preemptions == sum(len(step.decisions.preempted) for step in steps)
    assert fast.state.adapter_loads == plain.loads
    assert fast.state.free_blocks == plain.free_blocks
    assert set(fast.batch.request[fast.batch.request >= 0]) == {request.index for request in plain.running}
    assert fast.queue.totals.waiting == len(plain.waiting) + len(plain.skipped_waiting)
    assert log.counts.dropped == plain.dropped
    assert log.sums.adapter_steps == sum(step.decisions.adapters for step in steps)
    if chosen.enable_prefix_caching:
        assert fast.prefixes.totals.queries == plain.prefix_queries
        assert fast.prefixes.totals.hits == plain.prefix_hits
        assert in_queue(fast) == in_plain_queue(plain)
    agree_on_latencies(log, demand, plain)


def in_queue(state: Scheduler) -> list[tuple[str, int] | None]:
    """Of each free KV block, the next to be reused first, who can find it."""
    cache = state.prefixes
    found: list[tuple[str, int] | None] = []
    for run in runs(state):
        owner, adapters = int(cache.owner[run]), len(cache.prefix)
        who = None if owner < 0 else ("prefix", owner) if owner < adapters else ("request", owner - adapters)
        found += [who] * int(cache.blocks[run])
    return found


def runs(state: Scheduler) -> list[int]:
    """The runs of free blocks in the queue."""
    found, cache = [], state.prefixes
    run = int(cache.later[-1])
    while run != len(cache.blocks) - 1:
        found.append(run)
        run = int(cache.later[run])
    return found


def in_plain_queue(plain: ReferenceServer) -> list[tuple[str, int] | None]:
    """The same of the reference, where also what nobody will ask for any more can be found."""
    coming_back = {request.index for request in (*plain.waiting, *plain.skipped_waiting)}
    adapters = len(plain.turn)
    found: list[tuple[str, int] | None] = []
    for block in plain.pool.free:
        kind, owner, _ = cast(tuple[str, int, int], plain.pool.content[block] or ("", NONE, 0))
        if kind == "prefix":
            found.append((kind, owner % (adapters + 1)))
        else:
            found.append((kind, owner) if owner in coming_back else None)
    return found


def agree_on_latencies(log: engine.Log, demand: Demand, plain: ReferenceServer) -> None:
    """Percentiles from histograms are those of all times, one by one; sums are sums."""
    done = sorted(plain.finish_s)
    finish, first = (np.array([times[i] for i in done]) for times in (plain.finish_s, plain.first_token_s))
    gaps, arrival = demand.answer[done] - 1, demand.arrival_s[done]
    tpot = (finish - first)[gaps > 0] / gaps[gaps > 0]
    expected = {"ttft": first - arrival, "itl": np.array(plain.gaps_s), "tpot": tpot, "e2el": finish - arrival}
    for name, times in log.latencies._asdict().items():
        assert times.sum() == len(expected[name])
        if len(expected[name]):
            exact = 1e3 * np.percentile(expected[name], (0, 50, 95, 99, 100))
            assert percentiles_ms(times, (0, 50, 95, 99, 100)) == pytest.approx(exact, rel=0.002)
    assert log.completed.requests == len(done)
    assert log.completed.input_tokens == demand.prompt[done].sum()
    assert log.completed.output_tokens == demand.answer[done].sum()
    for total, times in {"ttft_s": first - arrival, "e2el_s": finish - arrival, "tpot_s": tpot}.items():
        assert log.completed[total] == pytest.approx(times.sum(), abs=1e-9)


def served(demand: Demand, **behaviour: bool) -> tuple[Scheduler, engine.Log, ReferenceServer]:
    """Both twins with one slot and ten blocks, after `UNTIL_S`."""
    options = dict.fromkeys(Behaviour.model_fields, False)
    chosen = SchedulerConfig(4, 64, 1, 1, block_size=16, **{**options, **behaviour})
    fast, log = new_scheduler(chosen, demand, 10), engine.new_log(len(demand.arrival_s))
    engine.serve(fast, COST, log, UNTIL_S, 0)
    plain = ReferenceServer(chosen, demand, COST, 10)
    plain.serve(UNTIL_S)
    return fast, log, plain


def asked(prompt: list[int], answer: list[int]) -> Demand:
    """A request every second to one adapter."""
    requests = len(prompt)
    return Demand(
        arrival_s=np.arange(requests, dtype=np.float64),
        adapter=np.zeros(requests, dtype=np.int32),
        prompt=np.array(prompt, dtype=np.int32),
        answer=np.array(answer, dtype=np.int32),
        load_from_memory_ms=np.ones(1),
        load_from_disk_ms=np.ones(1),
    )


@pytest.mark.parametrize("whole", [False, True])
def test_a_request_too_long_for_the_kv_cache_blocks_the_queue_but_not_the_clock(whole: bool) -> None:
    demand = asked([20, 200, 20], [5, 5, 5])
    fast, log, plain = served(demand, scheduler_reserve_full_isl=whole, async_scheduling=whole)
    assert (log.finish_s > 0).tolist() == [True, False, False]
    assert plain.finish_s.keys() == {0}
    assert fast.queue.totals.waiting + fast.batch.totals.running == len(plain.waiting) + len(plain.running) == 2
    assert log.sums.waiting_s > 0.9 * 18  # the last one, from second 2 on


def finish_of_the_first(cost: StepCost, *, seats: int, others: int) -> float:
    """When a request of 100 tokens has its last one, on one slot, while so many for another adapter arrive and wait."""
    chosen = SchedulerConfig(seats, 64, 1, 2, 16, *[False] * len(Behaviour.model_fields))
    demand = Demand(
        arrival_s=np.concatenate([[0.0], np.linspace(0.1, 0.5, others)]),
        adapter=np.array([0] + [1] * others, dtype=np.int32),
        prompt=np.full(others + 1, 5, dtype=np.int32),
        answer=np.full(others + 1, 100, dtype=np.int32),
        load_from_memory_ms=np.ones(2),
        load_from_disk_ms=np.ones(2),
    )
    fast, log = new_scheduler(chosen, demand, 1000), engine.new_log(others + 1)
    engine.serve(fast, cost, log, 4.0, 0)
    return float(log.finish_s[0])


def test_requests_that_arrive_hold_up_the_others_though_they_must_wait() -> None:
    cost = COST._replace(per_scanned_ms=0.0, per_arrival_ms=0.0)
    busy = finish_of_the_first(cost._replace(per_arrival_ms=2.0), seats=4, others=30)
    assert busy - finish_of_the_first(cost, seats=4, others=30) == pytest.approx(31 * 2e-3)


def test_a_full_batch_leaves_the_queue_unseen() -> None:
    cost = COST._replace(per_arrival_ms=0.0, per_scanned_ms=0.1)
    (alone, crowded), (_, passed_over) = (
        [finish_of_the_first(cost, seats=seats, others=others) for others in (0, 30)] for seats in (1, 2)
    )
    assert crowded == alone
    assert passed_over > alone + 30 * 0.1e-3 * 60  # steps after the last has come


WRONG: dict[str, dict[str, Any]] = {
    "entries in answer": {"answer": np.ones(2, dtype=np.int32)},
    "prompt in 32 bits": {"prompt": np.ones(3, dtype=np.int64)},
    "one loading time": {"load_from_disk_ms": np.ones(2)},
    "from 0 on": {"arrival_s": np.array([-1.0, 0.0, 1.0])},
    "and finite": {"arrival_s": np.array([0.0, 1.0, np.inf])},
    "order of time": {"arrival_s": np.array([0.0, 2.0, 1.0])},
    "arrivals in order": {"arrival_s": np.array([0.0, np.nan, 1.0])},
    "no adapter -2": {"adapter": np.array([0, -2, 0], dtype=np.int32)},
    "none has number 1": {"adapter": np.array([0, 1, 0], dtype=np.int32)},
    "prompts of 1": {"prompt": np.array([1, 0, 1], dtype=np.int32)},
    "answers of 1": {"answer": np.array([1, -7, 1], dtype=np.int32)},
    "within 32 bits": {name: np.full(3, 1 << 30, dtype=np.int32) for name in ("prompt", "answer")},
}


@pytest.mark.parametrize("what", WRONG)
def test_nothing_that_would_break_compiled_code_passes_the_door(what: str) -> None:
    chosen = SchedulerConfig(4, 64, 1, 1, 16, *[False] * len(Behaviour.model_fields))
    demand = asked([1, 1, 1], [1, 1, 1])._replace(**WRONG[what])
    with pytest.raises(AssertionError, match=what):
        new_scheduler(chosen, demand, 10)
    with pytest.raises(AssertionError, match=what):
        ReferenceServer(chosen, demand, COST, 10)


def test_a_request_without_an_adapter_waits_for_no_slot_and_keeps_nobody_from_one() -> None:
    """One slot, taken by adapter 0: adapter 1 is passed over, base requests are served beside it."""
    demand = Demand(
        arrival_s=np.array([0.0, 0.001, 0.002, 0.003]),
        adapter=np.array([0, 1, NONE, 0], dtype=np.int32),
        prompt=np.full(4, 8, dtype=np.int32),
        answer=np.array([50, 5, 90, 50], dtype=np.int32),
        load_from_memory_ms=np.ones(2),
        load_from_disk_ms=np.ones(2),
    )
    fast, log, plain = served(demand)
    assert log.first_token_s[2] == log.first_token_s[3] < log.finish_s[0]
    assert log.first_token_s[1] > log.finish_s[3]
    assert log.first_token_s[1] < log.finish_s[2]  # the base request still runs, and holds no slot
    assert fast.state.adapter_loads == plain.loads == 2
    assert dict(enumerate(log.finish_s)) == plain.finish_s


@settings(max_examples=40, deadline=None)
@given(situations())
def test_every_step_keeps_the_limits_and_loses_no_request(situation: tuple[SchedulerConfig, Demand, int, int]) -> None:
    chosen, demand, blocks, max_connections = situation
    state = new_scheduler(chosen, demand, blocks)
    log = engine.new_log(len(demand.arrival_s))
    for until in np.linspace(0.0, UNTIL_S, 60):
        engine.serve(state, COST, log, float(until), max_connections)
        check(state, log, chosen, blocks)


def blocks_held(state: Scheduler, seat: int) -> int:
    produced = state.state.step - 2 - state.batch.origin[seat]
    prompt = state.demand.prompt[state.batch.request[seat]]
    tokens = state.batch.computed[seat] if seat == state.state.partial else prompt + produced
    return -(-int(tokens) // state.config.block_size)


def check(state: Scheduler, log: engine.Log, chosen: SchedulerConfig, blocks: int) -> None:
    seats = np.flatnonzero(state.batch.request >= 0)
    running = set(state.batch.request[seats].tolist())
    assert len(running) == state.batch.totals.running <= chosen.max_num_seqs
    shared = state.prefixes.held.sum() - state.prefixes.share[seats].sum()
    assert sum(blocks_held(state, seat) for seat in seats) + shared + state.state.free_blocks == blocks
    if chosen.enable_prefix_caching:
        assert state.prefixes.blocks[runs(state)].sum() == state.state.free_blocks
    assert state.state.free_blocks >= 0
    running -= set(state.batch.request[state.ended[: state.state.ended]].tolist())
    active = set(state.demand.adapter[list(running)].tolist()) - {len(state.turn)}
    assert len(active) == state.state.active_adapters <= chosen.max_loras
    assert all(state.slots.resident[adapter] and state.host.resident[adapter] for adapter in active)
    assert state.slots.resident.sum() <= chosen.max_loras
    assert state.host.resident.sum() <= chosen.max_cpu_loras
    finished = int((log.finish_s > 0).sum())
    arrived = int(log.counts.next_arrival)
    assert arrived == finished + len(running) + state.queue.totals.waiting + log.counts.dropped
