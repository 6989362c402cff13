"""Simulate an hour of serving and measure it as vLLM's benchmark does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from twin import service_level
from twin.engine import serving as engine
from twin.engine.latencies import between_tokens, percentiles_ms, stalled_share
from twin.engine.latency import StepCost, step_cost
from twin.engine.scheduler.state import Demand, Scheduler, SchedulerConfig, new_scheduler
from twin.profile import Profile
from twin.service_level import PERCENTS, TTFT_LIMIT, Limit
from twin.settings import Settings
from twin.workload import BASE, Requests, Workload, draw

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class LoraWork:
    """What LoRA's kernels had to do in a step (`twin.lora_kernels`), mean over steps."""

    split_tokens: float = NAN
    shrink_tiles: float = NAN
    expand_tiles: float = NAN
    adapter_shrink_work: float = NAN
    """Times the adapters in the batch, as the next."""
    adapter_expand_tiles: float = NAN


@dataclass(frozen=True, slots=True)
class Measures:
    """What a simulated server did. Times are means unless said otherwise; NaN where nothing was measured."""

    oom: bool
    """The server does not start: the KV cache cannot hold one request of `max_model_len` tokens."""
    kv_capacity_tokens: int
    offered_tok_s: float
    """Offered token rate, input + output: the mean of the workload that was drawn from, or that of given requests."""
    throughput_tok_s: float = NAN
    """Input + output tokens of completed requests per second."""
    itl_ms: float = NAN
    """Inter-token latency as the client sees it."""
    tpot_ms: float = NAN
    """Time per output token after the first, mean over requests, of the engine."""
    ttft_ms: float = NAN
    """Time to first token, over completed requests."""
    ttft_penalised_ms: float = NAN
    """As `ttft_ms`, with the whole duration for every arrival that was accepted and did not complete (Agulló et al.
    2025)."""
    e2el_ms: float = NAN
    """End-to-end latency, from arrival to last token, over completed requests."""
    itl_p50_ms: float = NAN
    """Over all gaps between tokens, as the client sees them."""
    itl_p95_ms: float = NAN
    itl_p99_ms: float = NAN
    tpot_p50_ms: float = NAN
    """Over completed requests, as the next ones."""
    tpot_p95_ms: float = NAN
    tpot_p99_ms: float = NAN
    ttft_p50_ms: float = NAN
    ttft_p95_ms: float = NAN
    ttft_p99_ms: float = NAN
    e2el_p50_ms: float = NAN
    e2el_p95_ms: float = NAN
    e2el_p99_ms: float = NAN
    arrivals: int = 0
    refused: int = 0
    """Arrivals whose prompt and answer exceed `max_model_len` together: vLLM answers them with an error at once."""
    completed: int = 0
    dropped: int = 0
    """Arrivals for which the client had no connection left."""
    running_end: int = 0
    waiting_end: int = 0
    running_mean: float = NAN
    waiting_mean: float = NAN
    waiting_max: int = 0
    adapters_in_batch_mean: float = NAN
    """Distinct adapters in the batch, over steps."""
    steps: int = 0
    step_ms: float = NAN
    """Duration of a step, over steps; over tokens it is longer where the batch swings."""
    token_ms: float = NAN
    """Duration of a step, over output tokens: the engine's own inter-token latency."""
    scanned_mean: float = NAN
    """Waiting requests looked at, over steps."""
    eager_tokens_mean: float = NAN
    """Batched tokens beyond those of the largest CUDA graph, over steps."""
    coming_and_going: float = NAN
    """Adapters that come and go, over output tokens (see `twin.profile.FrontEnd`)."""
    lora_work: LoraWork = LoraWork()
    merging_adapters: float = NAN
    """The same, 0 where no token is merged."""
    adapter_loads: int = 0
    """Adapters brought into a slot, since the start."""
    preemptions: int = 0
    prefix_cache_hit_rate: float = NAN
    """Share of the prompt tokens whose KV was found, as vLLM counts: preempted requests not again. NaN where prefix
    caching is off."""
    wall_s: float = 0.0
    """What the simulation took, drawing the requests included."""

    @property
    def starved(self) -> bool:
        """Whether less than 90 % of the requests that were accepted were served while others waited."""
        return service_level.starved(self.completed, self.arrivals - self.refused, self.waiting_end)

    @property
    def published_starvation(self) -> bool:
        """Whether throughput is below 90 % of the offered token rate, whatever arrived (the papers' rule)."""
        return service_level.published_starvation(self.throughput_tok_s, self.offered_tok_s)

    def steady(self, ttft_limit: Limit = TTFT_LIMIT) -> bool:
        """Whether the server starts, does not starve, and its TTFT is within the limit."""
        ttft_ms: float = getattr(self, ttft_limit.measure("ttft"))
        return not self.oom and service_level.steady(starved=self.starved, ttft_ms=ttft_ms, ttft_limit=ttft_limit)


Draw = Callable[[Workload, float, int], Requests]
"""Draws the requests of a workload, for so many seconds and from a seed."""


def simulate(
    profile: Profile,
    server: Settings,
    workload: Workload,
    *,
    duration_s: float = 3600.0,
    seed: int = 0,
    max_connections: int = 0,
    cold: bool = False,
    draw: Draw = draw,
) -> Measures:
    """Serve `workload` for `duration_s` seconds; the same seed gives the same measures.

    Whoever serves the same requests by several servers may `draw` them once. `max_connections` is the number of
    requests in the system at which the client can send no more, as happens to a load generator that runs out of ports;
    0 is no limit. A `cold` server has no adapter in memory at the start: each is read from disk for the first of its
    requests.
    """
    started = time.perf_counter()
    requests = draw(workload, duration_s, seed)
    measures = serve(
        profile, server, workload, requests, duration_s=duration_s, max_connections=max_connections, cold=cold
    )
    offered = workload.offered_within(duration_s)
    return replace(measures, offered_tok_s=offered, wall_s=time.perf_counter() - started)


def serve(
    profile: Profile,
    server: Settings,
    workload: Workload,
    requests: Requests,
    *,
    duration_s: float,
    max_connections: int = 0,
    cold: bool = False,
) -> Measures:
    """Serve these requests to the adapters of `workload` for `duration_s` seconds; otherwise as `simulate`.

    Of the workload only the ranks matter; the offered token rate is that of the requests. A server without LoRA has the
    base model answer them all.
    """
    started = time.perf_counter()
    if not server.max_loras:
        requests = replace(requests, adapter=np.full_like(requests.adapter, BASE))
    offered_tok_s = float(requests.input.sum() + requests.output.sum()) / duration_s
    kv_tokens = profile.memory.kv_capacity_tokens(server.max_loras, server.max_lora_rank, server.gpu_memory_utilization)
    if kv_tokens < server.max_model_len:
        return Measures(oom=True, kv_capacity_tokens=max(kv_tokens, 0), offered_tok_s=offered_tok_s)
    arrivals = len(requests)
    requests = requests.within(server.max_model_len)
    state = prepare(profile, server, workload, requests, kv_tokens, cold=cold)
    front_end = profile.front_end
    log = engine.new_log(len(requests))
    cost = step_cost(profile, server.max_loras, server.max_lora_rank)
    engine.serve(state, cost, log, float(duration_s), max_connections)
    done, steps = log.completed, int(state.state.step)
    accepted, completed, output_tokens = len(requests), int(done.requests), int(done.output_tokens)
    token_ms = _ratio(1e3 * float(done.decode_s), output_tokens - completed)
    ttft_sum_ms = 1e3 * float(done.ttft_s) + front_end.ttft_ms * completed
    merging = float(log.sums.merged) / max(output_tokens, 1)
    return Measures(
        oom=False,
        kv_capacity_tokens=kv_tokens,
        offered_tok_s=offered_tok_s,
        throughput_tok_s=(int(done.input_tokens) + output_tokens) / duration_s,
        itl_ms=token_ms * (1 + front_end.merged_per_adapter * merging),
        tpot_ms=_ratio(1e3 * float(done.tpot_s), int(done.answers)),
        ttft_ms=_ratio(ttft_sum_ms, completed),
        ttft_penalised_ms=_ratio(ttft_sum_ms + 1e3 * duration_s * (accepted - completed), accepted),
        e2el_ms=_ratio(1e3 * float(done.e2el_s), completed) + front_end.ttft_ms,
        **_percentiles(log, cost, front_end.ttft_ms),
        arrivals=arrivals,
        refused=arrivals - accepted,
        completed=completed,
        dropped=int(log.counts.dropped),
        running_end=int(state.batch.totals.running - state.state.ended),
        waiting_end=int(state.queue.totals.waiting),
        running_mean=float(log.sums.running_s) / duration_s,
        waiting_mean=float(log.sums.waiting_s) / duration_s,
        waiting_max=int(log.counts.waiting_max),
        adapters_in_batch_mean=_ratio(float(log.sums.adapter_steps), steps),
        steps=steps,
        coming_and_going=float(log.sums.coming_and_going) / max(output_tokens, 1),
        merging_adapters=merging,
        scanned_mean=_ratio(float(log.sums.scanned), steps),
        eager_tokens_mean=_ratio(float(log.sums.eager_tokens), steps),
        lora_work=LoraWork(*(_ratio(float(getattr(log.sums, each.name)), steps) for each in fields(LoraWork))),
        step_ms=_ratio(1e3 * float(log.sums.busy_s), steps),
        token_ms=token_ms,
        adapter_loads=int(state.state.adapter_loads),
        preemptions=int(state.state.preemptions),
        prefix_cache_hit_rate=_ratio(float(state.prefixes.totals.hits), int(state.prefixes.totals.queries)),
        wall_s=time.perf_counter() - started,
    )


def prepare(
    profile: Profile, server: Settings, workload: Workload, requests: Requests, kv_tokens: int, *, cold: bool = False
) -> Scheduler:
    """The scheduler of a server that has just started, with the requests it will get."""
    loading, block_size = profile.loading, profile.memory.block_size
    config = SchedulerConfig(
        max_num_seqs=server.max_num_seqs,
        max_num_batched_tokens=server.max_num_batched_tokens,
        max_loras=server.max_loras,
        max_cpu_loras=server.max_cpu_loras,
        block_size=block_size,
        enable_prefix_caching=server.enable_prefix_caching,
        **profile.behaviour.model_dump(),
    )
    demand = Demand(
        arrival_s=requests.arrival,
        adapter=requests.adapter,
        prompt=requests.input,
        answer=requests.output,
        load_from_memory_ms=loading.memory_base_ms + loading.memory_per_rank_ms * workload.rank,
        load_from_disk_ms=loading.disk_base_ms + loading.disk_per_rank_ms * workload.rank,
        shared_prefix=_shared_prefix(workload),
    )
    # vLLM keeps one block for itself.
    return new_scheduler(config, demand, blocks=kv_tokens // block_size - 1, cold=cold)


def _shared_prefix(workload: Workload) -> NDArray[np.int32]:
    """Of each adapter and, last, of requests that name none."""
    prefix = workload.traffic.shared_prefix
    if prefix is None:
        return np.zeros(0, dtype=np.int32)
    return (prefix if workload.base is not None else np.append(prefix, 0)).astype(np.int32)


def _ratio(total: float, count: int) -> float:
    return total / count if count else NAN


def _percentiles(log: engine.Log, cost: StepCost, ttft_ms: float) -> dict[str, float]:
    """Those of all times, as the client sees them, by their names."""
    tokens = max(int(log.completed.output_tokens), 1)
    stalled, merged = (
        stalled_share(cost, float(total) / tokens) for total in (log.sums.coming_and_going, log.sums.merged)
    )
    seen = {**log.latencies._asdict(), "itl": between_tokens(log.latencies.itl, stalled, merged, cost.stall_every_s)}
    added_ms = {"ttft": ttft_ms, "e2el": ttft_ms}
    return {
        service_level.measure(time, statistic): found + added_ms.get(time, 0.0)
        for time, times in seen.items()
        for statistic, found in zip(PERCENTS.values(), percentiles_ms(times, [*PERCENTS]), strict=True)
    }
