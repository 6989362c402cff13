"""The state of a scheduler between steps: what it was told, who waits, who runs, which adapters are where."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.engine.compiled import Record
from twin.engine.scheduler import adapter_cache, batch, prefix_cache, waiting
from twin.engine.scheduler.adapter_cache import AdapterCache
from twin.engine.scheduler.batch import NONE, Batch
from twin.engine.scheduler.prefix_cache import PrefixCache
from twin.engine.scheduler.waiting import Queue


class SchedulerConfig(NamedTuple):
    """What of the server's configuration a scheduler pass depends on."""

    max_num_seqs: int
    max_num_batched_tokens: int
    max_loras: int
    max_cpu_loras: int
    block_size: int
    scheduler_reserve_full_isl: bool
    skipped_waiting: bool
    async_scheduling: bool
    unhashed_first: bool
    unscheduled_hold_slots: bool
    enable_prefix_caching: bool = False


class Demand(NamedTuple):
    """The requests, in order of arrival, and what loading their adapters costs."""

    arrival_s: NDArray[np.float64]
    adapter: NDArray[np.int32]
    """NONE where a request names no adapter."""
    prompt: NDArray[np.int32]
    """Tokens."""
    answer: NDArray[np.int32]
    """Tokens."""
    load_from_memory_ms: NDArray[np.float64]
    """Of each adapter."""
    load_from_disk_ms: NDArray[np.float64]
    """Of each adapter."""
    shared_prefix: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
    """Tokens that the prompts of each adapter begin with and, last, of those that name none; empty where nothing is
    shared. The last token of a prompt is its own, however long the prefix."""

    def check(self) -> None:
        """Compiled code looks at no bounds: what does not hold here would be written somewhere into the memory."""
        requests, adapters = len(self.arrival_s), len(self.load_from_memory_ms)
        for name in ("adapter", "prompt", "answer"):
            assert len(getattr(self, name)) == requests, f"as many arrivals as entries in {name}"
            assert getattr(self, name).dtype == np.int32, f"{name} in 32 bits"
        assert len(self.load_from_disk_ms) == adapters, "one loading time from disk per adapter"
        if len(self.shared_prefix):
            assert len(self.shared_prefix) == adapters + 1, "a shared prefix per adapter and one more"
            assert self.shared_prefix.dtype == np.int32, "shared_prefix in 32 bits"
            assert self.shared_prefix.min() >= 0, f"prefixes of 0 tokens or more, not {self.shared_prefix.min()}"
        if requests:
            first, last = self.arrival_s[0], self.arrival_s[-1]
            assert first >= 0.0 and last < np.inf, f"arrivals from 0 on and finite, not {first} to {last}"
            assert (self.arrival_s[:-1] <= self.arrival_s[1:]).all(), "arrivals in order of time"
            assert self.adapter.min() >= NONE, f"no adapter {self.adapter.min()}"
            assert self.adapter.max() < adapters, f"{adapters} adapters, so none has number {self.adapter.max()}"
            assert self.prompt.min() >= 1, f"prompts of 1 token or more, not {self.prompt.min()}"
            assert self.answer.min() >= 1, f"answers of 1 token or more, not {self.answer.min()}"
            longest = int(self.prompt.max()) + int(self.answer.max())
            assert longest < 1 << 31, f"prompt and answer together within 32 bits, not {longest} tokens"


class State(Record):
    """Where the scheduler stands."""

    step: int
    """Steps taken so far."""
    free_blocks: int
    """KV blocks."""
    partial: int
    """The seat whose prompt is partly computed, or NONE."""
    active_adapters: int
    """Adapters in the batch."""
    slot_holders: int
    """Adapters that count against the slots: in the batch or, with `unscheduled_hold_slots`, of ended requests."""
    preemptions: int
    """So far."""
    adapter_loads: int
    """So far."""
    ended: int
    """Seats of requests that have ended (`Scheduler.ended`)."""


class StepOutput(Record):
    """What a step did."""

    prefill_tokens: int
    scanned: int
    """Waiting requests looked at."""
    base_tokens: int
    """Tokens computed for requests that name no adapter."""
    preempted: int
    """Requests."""
    stopped: int
    """Of these, those amid their answers (`Scheduler.stopped`)."""
    fresh: int
    """Prompts completed (their requests are in `Scheduler.fresh`)."""
    entered: int
    """Adapters new in the batch (`Scheduler.entered`)."""
    finished: int
    """Requests (`Scheduler.due`)."""
    released: int
    """Seats."""


class Scheduler(NamedTuple):
    """The engine's state between steps."""

    config: SchedulerConfig
    demand: Demand
    """Requests that name no adapter have the number after the last adapter here, that of their line in the queue."""
    queue: Queue
    batch: Batch
    prefixes: PrefixCache
    slots: AdapterCache
    host: AdapterCache
    turn: NDArray[np.int32]
    """Of each adapter, its place in the order in which a batch's adapters are gone through."""
    in_batch: NDArray[np.int32]
    """The adapters in the batch, `State.active_adapters` of them, in any order; sorted by turn when that matters."""
    place: NDArray[np.int32]
    """Of each adapter in the batch, where it stands there."""
    running_of: NDArray[np.int32]
    """Of each adapter, its running requests that have not ended. Last, of those that name none, one more than there
    are: they never enter or leave the batch as an adapter does."""
    seats_of: NDArray[np.int32]
    """In the same way, the running requests that count against the slots."""
    generated: NDArray[np.int32]
    """Of each request, the tokens it had when it was last preempted."""
    state: State
    output: StepOutput
    fresh: NDArray[np.int32]
    """Requests whose prompt completes in this step."""
    stopped: NDArray[np.int32]
    """Requests that this step preempts amid their answers."""
    entered: NDArray[np.int32]
    """Adapters that were not in the batch before."""
    due: NDArray[np.int32]
    """Scratch: seats whose requests end in this step; after it, these requests."""
    ended: NDArray[np.int32]
    """With async scheduling: seats of requests that ended in the step before, up to the first NONE."""


def new_scheduler(config: SchedulerConfig, demand: Demand, blocks: int, *, cold: bool = False) -> Scheduler:
    """A scheduler at step 0 with `blocks` usable KV blocks.

    `--lora-modules` are loaded one after another at start, each into host memory and a slot: both hold the last of the
    adapters, as many as they can. A `cold` server holds none, as where a resolver fetches those that are asked for.
    """
    demand.check()
    adapters, requests = len(demand.load_from_memory_ms), len(demand.arrival_s)
    turn = turns(adapters)
    if demand.adapter.min(initial=0) == NONE:
        demand = demand._replace(adapter=np.where(demand.adapter == NONE, np.int32(adapters), demand.adapter))
    running_of = np.zeros(adapters + 1, dtype=np.int32)
    running_of[adapters] = 1
    host = adapter_cache.empty(adapters, config.max_cpu_loras)
    slots = adapter_cache.empty(adapters, config.max_loras)
    if not cold:
        adapter_cache.insert_idle(host, turn)
        adapter_cache.insert_idle(slots, turn)
    return Scheduler(
        config=config,
        demand=demand,
        queue=waiting.empty(adapters, requests, config.skipped_waiting),
        batch=batch.empty(config.max_num_seqs, int(demand.answer.max(initial=1)), config.block_size),
        prefixes=prefix_cache.empty(
            demand.shared_prefix if len(demand.shared_prefix) else np.zeros(adapters + 1, dtype=np.int32),
            requests,
            config.max_num_seqs,
            blocks,
            enabled=config.enable_prefix_caching,
        ),
        slots=slots,
        host=host,
        turn=turn,
        in_batch=np.zeros(config.max_loras, dtype=np.int32),
        place=np.zeros(adapters, dtype=np.int32),
        running_of=running_of,
        seats_of=running_of.copy(),
        generated=np.zeros(requests, dtype=np.int32),
        state=State.of(free_blocks=blocks, partial=NONE),
        output=StepOutput.of(),
        fresh=np.zeros(config.max_num_seqs, dtype=np.int32),
        stopped=np.zeros(config.max_num_seqs, dtype=np.int32),
        entered=np.zeros(config.max_num_seqs, dtype=np.int32),
        due=np.zeros(config.max_num_seqs, dtype=np.int32),
        ended=np.full(config.max_num_seqs + 1, NONE, dtype=np.int32),
    )


@lru_cache(maxsize=4)
def turns(adapters: int) -> NDArray[np.int32]:
    """Of each adapter, its place in the order in which a batch is gone through: any, but always the same."""
    return np.random.default_rng(0).permutation(adapters).astype(np.int32)
