"""How fast the twin is and what memory it takes, from light load to overload."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from twin.engine.simulation import Measures, simulate
from twin.lengths import SHAREGPT
from twin.profile import Profile
from twin.settings import Settings
from twin.workload import Workload

HOUR_S = 3600.0
REPEATS = 5
"""Simulations of each case; the fastest counts."""


@dataclass(frozen=True, slots=True)
class Case:
    """An hour of traffic on one server."""

    name: str
    adapters: int
    rate: float
    """Requests/s, of all adapters together."""
    max_loras: int

    def workload(self) -> Workload:
        """ShareGPT-like lengths, a third of the adapters each at twice, once and half the mean rate."""
        shares = np.resize([2.0, 1.0, 0.5], self.adapters)
        return Workload.alike(
            self.rate * shares / shares.sum(),
            rank=np.resize([8.0, 16.0], self.adapters),
            **SHAREGPT._asdict(),
        )


REGIMES = (
    Case("light", 32, 1.9, 32),
    Case("medium", 128, 7.5, 128),
    Case("slot-bound", 384, 22.4, 16),
    Case("KV-bound", 192, 22.4, 192),
    Case("overload", 256, 239.0, 64),
)
"""As in the published validation runs; the overload is the worst of them, 860,000 arrivals."""
MORE_ARRIVALS = tuple(Case(f"{rate:g} requests/s", 64, rate, 64) for rate in (15.0, 30.0, 60.0, 120.0, 240.0))
MORE_ADAPTERS = tuple(Case(f"{count:,} adapters", count, 15.0, 32) for count in (32, 128, 512, 2048, 8192, 100_000))


@dataclass(frozen=True, slots=True)
class Timing:
    """What one case took."""

    case: Case
    measures: Measures
    cpu_s: float
    """Of one core, drawing the requests included."""
    peak_mib: float
    """Of the process that simulated it."""


def timed(profile: Profile, case: Case) -> Timing:
    """Simulate a case, a few times over."""
    serving, memory = profile.serving, profile.memory
    server = Settings(
        max_loras=case.max_loras,
        max_cpu_loras=max(case.adapters, case.max_loras),
        max_lora_rank=16,
        max_num_seqs=serving.max_num_seqs,
        max_num_batched_tokens=serving.max_num_batched_tokens,
        gpu_memory_utilization=memory.gpu_memory_utilization,
        max_model_len=min(memory.max_model_len, 32_768),
    )
    workload, took = case.workload(), []
    for seed in range(REPEATS):
        started = time.process_time()
        measures = simulate(profile, server, workload, duration_s=HOUR_S, seed=seed)
        took.append(time.process_time() - started)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return Timing(case, measures, min(took), peak_mib)


def bench(profile: Profile, cases: Sequence[Case]) -> Iterable[Timing]:
    """Time the cases one after another."""
    console = Console(stderr=True)
    for case in track(cases, "timing", console=console, disable=not console.is_terminal, transient=True):
        yield _apart(profile, case)


def _apart(profile: Profile, case: Case) -> Timing:
    """Time a case in a process of its own, whose peak of memory is the case's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(timed, profile, case).result()


def table(title: str, timings: Iterable[Timing]) -> Table:
    """One row per case."""
    found = Table(title=title, title_justify="left")
    found.add_column("case")
    figures = ("adapters", "slots", "arrivals", "steps", "running", "ms/hour", "hours/s", "x real time", "peak MiB")
    for column in figures:
        found.add_column(column, justify="right")
    for timing in timings:
        case, measures = timing.case, timing.measures
        found.add_row(
            case.name,
            f"{case.adapters:,}",
            f"{case.max_loras:,}",
            f"{measures.arrivals:,}",
            f"{measures.steps:,}",
            f"{measures.running_mean:,.0f}",
            f"{1e3 * timing.cpu_s:.1f}",
            f"{1 / timing.cpu_s:,.1f}",
            f"{HOUR_S / timing.cpu_s:,.0f}",
            f"{timing.peak_mib:,.0f}",
        )
    return found


def first_start(profile: Profile) -> float:
    """Seconds of a first simulation, the compilation included unless it is kept from before."""
    started = time.perf_counter()
    _apart(profile, REGIMES[0])
    return time.perf_counter() - started


def tables(profile: Profile) -> Iterator[Table]:
    """All cases, a table at a time."""
    yield table("Regimes", bench(profile, REGIMES))
    yield table("With arrivals: 64 adapters, a slot each", bench(profile, MORE_ARRIVALS))
    yield table("With adapters: 15 requests/s on 32 slots", bench(profile, MORE_ADAPTERS))
