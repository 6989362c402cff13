"""The twin once more, written for reading: every request looked at in every step, lists and dictionaries, no tricks.

It is what the fast twin is tested against, and the place to see what a step does. It is some thousand times slower.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from twin.engine.latency import StepCost, StepWork, step_ms
from twin.engine.reference.block_pool import BlockPool
from twin.engine.reference.decisions import Decisions
from twin.engine.scheduler.batch import NONE
from twin.engine.scheduler.state import Demand, SchedulerConfig, turns


@dataclass(slots=True)
class Request:
    """One request on its way through the server."""

    index: int
    adapter: int
    """NONE: it names none."""
    prompt: int
    answer: int
    shared: int = 0
    """Tokens that its prompt begins with as others of its adapter do."""
    computed: int = 0
    """Tokens whose KV is stored."""
    generated: int = 0
    blocks: list[int] = field(default_factory=list)
    known: int = 0
    """Of its blocks, those whose content can be found."""
    preemptions: int = 0
    prefilling: bool = True
    ended: bool = False
    """With async scheduling: it has all its tokens, but the scheduler has not been told."""

    @property
    def tokens(self) -> int:
        """Prompt and what has been generated: what must be computed before the next token."""
        return self.prompt + self.generated


@dataclass(slots=True)
class StepOutcome:
    """What one step did, for comparison."""

    duration_s: float
    decisions: Decisions


@dataclass
class Server:
    """A vLLM server with LoRA, one step at a time (`twin.behaviour` says what depends on the version)."""

    config: SchedulerConfig
    demand: Demand
    cost: StepCost
    total_blocks: int
    max_connections: int = 0
    cold: bool = False
    """No adapter is in host memory or a slot at the start."""
    clock_s: float = 0.0
    seen_s: float = 0.0
    """The time up to which the next step knows what has arrived."""
    arrived: int = 0
    received: int = 0
    """Requests that were queued since the step before."""
    dropped: int = 0
    loads: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    """Tokens of admitted prompts, and those of them whose KV was there; preempted requests do not count again."""
    running: list[Request] = field(default_factory=list)
    waiting: deque[Request] = field(default_factory=deque)
    skipped_waiting: deque[Request] = field(default_factory=deque)
    """What was passed over, where that has a queue of its own; served before `waiting`."""
    slots: OrderedDict[int, None] = field(default_factory=OrderedDict)
    """Adapters on the GPU, least recently used first."""
    host: OrderedDict[int, None] = field(default_factory=OrderedDict)
    first_token_s: dict[int, float] = field(default_factory=dict)
    finish_s: dict[int, float] = field(default_factory=dict)
    last_token_s: dict[int, float] = field(default_factory=dict)
    gaps_s: list[float] = field(default_factory=list)
    """Between one token of a request and its next, all of them."""

    def __post_init__(self) -> None:
        self.demand.check()
        adapters = len(self.demand.load_from_memory_ms)
        self.turn = turns(adapters)
        self.pool = BlockPool(self.total_blocks, unhashed_first=self.config.unhashed_first)
        for adapter in [] if self.cold else range(adapters):  # as `--lora-modules` are loaded
            self.load_adapter(adapter)
        self.loads = 0

    def serve(self, until_s: float) -> list[StepOutcome]:
        """Serve until the clock reaches `until_s` or nothing is left to do."""
        steps: list[StepOutcome] = []
        while self.clock_s < until_s:
            self.receive()
            idle = not self.running
            if self.busy():
                steps.append(self.step())
                if not idle or steps[-1].duration_s > 0.0:
                    continue
                # Whoever is first in the queue is too long for the whole KV cache: nothing can happen.
            if self.arrived == len(self.demand.arrival_s):
                break
            self.clock_s = max(self.clock_s, float(self.demand.arrival_s[self.arrived]))
            self.seen_s = self.clock_s
        return steps

    def busy(self) -> bool:
        """Whether any request is not finished, as far as the scheduler knows."""
        return bool(self.running or self.waiting or self.skipped_waiting)

    def receive(self) -> None:
        """Queue what has arrived, as far as the next step knows."""
        demand = self.demand
        while self.arrived < len(demand.arrival_s) and demand.arrival_s[self.arrived] <= self.seen_s:
            i = self.arrived
            if self.max_connections and self.in_system() >= self.max_connections:
                self.dropped += 1
            else:
                self.add(i)
            self.arrived += 1

    def add(self, index: int) -> None:
        """A request arrives."""
        demand = self.demand
        self.received += 1
        adapter, prompt = int(demand.adapter[index]), int(demand.prompt[index])
        shared = min(int(demand.shared_prefix[adapter]), prompt - 1) if len(demand.shared_prefix) else 0
        self.waiting.append(Request(index, adapter, prompt, int(demand.answer[index]), shared))

    def step(self) -> StepOutcome:
        """Schedule, run, update."""
        scheduled: dict[int, int] = {}
        preempted = self.schedule_running(scheduled)
        scanned = 0 if preempted else self.schedule_waiting(scheduled)
        blocks = self.total_blocks - self.free_blocks
        load_ms = self.load_adapters()

        decoding = sum(not (request.prefilling or request.ended) for request in self.running)
        prefill = sum(scheduled.get(request.index, 0) for request in self.running if request.prefilling)
        base = [request for request in self.running if request.adapter == NONE]
        base_tokens = sum(scheduled.get(request.index, 0) for request in base)
        adapters = len(self.active())
        duration_s = 0.0
        if not all(request.ended for request in self.running):
            work = StepWork(decoding, prefill, base_tokens, adapters, scanned)
            duration_s = 1e-3 * (load_ms + step_ms(self.cost, work)) + 1e-3 * self.cost.per_arrival_ms * self.received
        self.received = 0
        self.seen_s = self.clock_s
        self.clock_s += duration_s
        if not self.config.async_scheduling:
            self.seen_s = self.clock_s
        finished = self.update(scheduled)
        return StepOutcome(
            duration_s,
            Decisions(
                scheduled=scheduled,
                preempted=tuple(preempted),
                finished=tuple(sorted(finished)),
                adapters=adapters,
                blocks=blocks,
            ),
        )

    def update(self, scheduled: dict[int, int]) -> list[int]:
        """Account for the tokens the step has computed; return the requests that are finished."""
        finished = []
        for request in [request for request in self.running if request.ended]:
            self.keep(request, request.computed)
            self.leave(request)
        for request in list(self.running):
            request.computed += scheduled.get(request.index, 0)
            if request.computed == request.tokens:
                request.prefilling = False
                request.generated += 1
                self.first_token_s.setdefault(request.index, self.clock_s)
                if request.index in self.last_token_s:
                    self.gaps_s.append(self.clock_s - self.last_token_s[request.index])
                self.last_token_s[request.index] = self.clock_s
                if request.generated == request.answer:
                    self.finish_s[request.index] = self.clock_s
                    finished.append(request.index)
                    request.ended = True
                    if not self.config.async_scheduling:
                        self.leave(request)
        return finished

    def schedule_running(self, scheduled: dict[int, int]) -> list[int]:
        """Running requests first, in the order they were admitted; the last ones make room when blocks run out."""
        budget = self.config.max_num_batched_tokens
        preempted: list[int] = []
        position = 0
        while position < len(self.running) and budget > 0:
            request = self.running[position]
            if request.ended:
                position += 1
                continue
            tokens = min(request.tokens - request.computed, budget)
            while not self.allocate(request, tokens):
                victim = self.running[-1]
                self.leave(victim)
                if not victim.ended:
                    victim.blocks, victim.known, victim.computed, victim.prefilling = [], 0, 0, True
                    victim.preemptions += 1
                    self.waiting.appendleft(victim)
                preempted.append(victim.index)
                if victim is request:
                    return preempted
            scheduled[request.index] = tokens
            budget -= tokens
            position += 1
        return preempted

    def schedule_waiting(self, scheduled: dict[int, int]) -> int:
        """Waiting requests in order of arrival; one whose adapter finds no slot is skipped and keeps its place.

        One that names no adapter needs no slot and is never skipped.
        """
        config = self.config
        budget = config.max_num_batched_tokens - sum(scheduled.values())
        active = self.slot_holders()
        skipped: list[Request] = []
        looked_at = 0
        if budget <= 0 or len(self.running) >= config.max_num_seqs:
            return 0
        while (self.skipped_waiting or self.waiting) and budget > 0 and len(self.running) < config.max_num_seqs:
            queue = self.skipped_waiting or self.waiting
            request = queue[0]
            if len(active) == config.max_loras and self.needs_slot(request, active):
                skipped.append(queue.popleft())
                continue
            looked_at += 1
            found = self.find(request)
            cached = len(found) * config.block_size
            tokens = min(request.tokens - cached, budget)
            until = request.tokens if config.scheduler_reserve_full_isl else cached + tokens
            if self.blocks(until) - len(found) + self.pool.unused(found) > self.free_blocks:
                break
            self.pool.use(found)
            request.blocks, request.known, request.computed = found, len(found), cached
            self.allocate(request, tokens)
            if not request.preemptions:
                self.prefix_queries += request.tokens
                self.prefix_hits += cached
            queue.popleft()
            if request.adapter != NONE:
                active.add(request.adapter)
            self.running.append(request)
            scheduled[request.index] = tokens
            budget -= tokens
        back = self.skipped_waiting if config.skipped_waiting else self.waiting
        back.extendleft(reversed(skipped))
        if len(active) == config.max_loras:
            # As in the fast twin: all that cannot get a slot counts as looked at, however early the scan ended.
            looked_at += sum(self.needs_slot(request, active) for request in (*self.skipped_waiting, *self.waiting))
        return looked_at

    @staticmethod
    def needs_slot(request: Request, active: set[int]) -> bool:
        """Whether the request's adapter, if it names one, is not in the batch yet."""
        return request.adapter != NONE and request.adapter not in active

    def allocate(self, request: Request, tokens: int) -> bool:
        """Take the blocks for so many more tokens, if there are enough."""
        needed = self.blocks(request.computed + tokens) - len(request.blocks)
        if needed > self.free_blocks:
            return False
        request.blocks += self.pool.take(needed)
        # With async scheduling the token that is computed now is not known yet, nor what block it ends.
        on_its_way = self.config.async_scheduling and not request.prefilling
        self.keep(request, min(request.computed + tokens, request.tokens - on_its_way))
        return True

    def keep(self, request: Request, tokens: int) -> None:
        """The request's blocks that so many tokens fill can be found from now on."""
        if self.config.enable_prefix_caching:
            for block in range(request.known, tokens // self.config.block_size):
                self.pool.keep(request.blocks[block], self.content(request, block))
                request.known += 1

    def find(self, request: Request) -> list[int]:
        """The blocks of the request that are there; its last token is computed in any case."""
        if not self.config.enable_prefix_caching:
            return []
        return self.pool.find(
            self.content(request, block) for block in range((request.tokens - 1) // self.config.block_size)
        )

    def content(self, request: Request, block: int) -> Hashable:
        """What a full block of the request holds, as those know it who might find it."""
        shared = (block + 1) * self.config.block_size <= request.shared
        return ("prefix", request.adapter, block) if shared else ("request", request.index, block)

    @property
    def free_blocks(self) -> int:
        """KV blocks that can be had."""
        return len(self.pool.free)

    def blocks(self, tokens: int) -> int:
        """KV blocks that hold so many tokens."""
        return -(-tokens // self.config.block_size)

    def active(self) -> set[int]:
        """Adapters in the batch."""
        return {request.adapter for request in self.running if request.adapter != NONE and not request.ended}

    def slot_holders(self) -> set[int]:
        """Adapters that count against the slots."""
        if self.config.unscheduled_hold_slots:
            return {request.adapter for request in self.running if request.adapter != NONE}
        return self.active()

    def in_system(self) -> int:
        """Requests that are waiting or running."""
        running = sum(not request.ended for request in self.running)
        return running + len(self.waiting) + len(self.skipped_waiting)

    def leave(self, request: Request) -> None:
        """A request leaves the batch and frees its blocks."""
        self.running.remove(request)
        self.pool.give_back(request.blocks)

    def load_adapters(self) -> float:
        """Go through the batch's adapters in turn; return the ms that loading takes."""
        load_ms = 0.0
        for adapter in sorted(self.active(), key=lambda adapter: int(self.turn[adapter])):
            load_ms = self.load_adapter(adapter, load_ms)
        return load_ms

    def load_adapter(self, adapter: int, load_ms: float = 0.0) -> float:
        """Bring an adapter into host memory and a slot, or mark it as used; return `load_ms` and what that takes."""
        if adapter not in self.host:
            load_ms += float(self.demand.load_from_disk_ms[adapter])
            if len(self.host) == self.config.max_cpu_loras:
                evicted, _ = self.host.popitem(last=False)
                self.slots.pop(evicted, None)
            self.host[adapter] = None
        self.host.move_to_end(adapter)
        if adapter not in self.slots:
            load_ms += float(self.demand.load_from_memory_ms[adapter])
            self.loads += 1
            if len(self.slots) == self.config.max_loras:
                self.slots.popitem(last=False)
            self.slots[adapter] = None
        self.slots.move_to_end(adapter)
        return load_ms
