"""Adapters loaded and what a load takes, beside the measurement tables that tell."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from calibrate.csv_table import read_csv
from calibrate.fit.scheduling import is_own
from calibrate.fit.serving import INPUT_TOKENS
from calibrate.fit.tables import COLUMNS
from twin.accuracy import smape
from twin.profile import Profile
from twin.workload import Workload

STEPS, LOADING = "scheduler_steps", "adapter_loading"
RUN = ("gpu_loras", "cpu_loras", "rank", "rate", "duration")
"""Columns that tell what a run of `STEPS` was; rate is that of each adapter, requests/s."""
LOADS = "max_lora_loads_from_memory_corrected"
"""Loads from host memory into a slot, less the first one of each adapter, which was at the start."""
SOME = 50
"""Loads in a run from which on their number is more than chance."""


@dataclass(frozen=True, slots=True)
class LoadScore:
    """One kind of runs or of loads: what was measured, and what the twin says."""

    kind: str
    rows: int
    measured: float
    """Loads in all these runs, or ms of a load."""
    twin: float
    smape: float
    """Over the rows, %."""


def load_scores(folder: Path, profiles: dict[str, Profile], jobs: int) -> list[LoadScore]:
    """Of the tables in `folder`, as far as they are there and of these models; `jobs` is the number of processes."""
    found = []
    steps, loading = folder / f"{STEPS}.csv", folder / f"{LOADING}.csv"
    own = [(model, profile) for model, profile in profiles.items() if is_own(profile.fits.get("scheduling"))]
    if steps.exists() and own:
        model, profile = own[0]
        found += _counts(model, read_csv(steps, [*COLUMNS[STEPS], *RUN, LOADS], text=("model",)), profile, jobs)
    if loading.exists():
        table = read_csv(loading, COLUMNS[LOADING], text=("model", "set", "folder"))
        for model, profile in profiles.items():
            found += _times(model, table[table["model"] == model], profile)
    return found


def _counts(model: str, table: pd.DataFrame, profile: Profile, jobs: int) -> list[LoadScore]:
    runs = table[list(RUN)].to_dict("records")
    answers = (table["processed_tokens"] / table["completed_requests"].clip(lower=1)).clip(lower=1)
    with ProcessPoolExecutor(jobs) as pool:
        twin = np.array(list(pool.map(_loads, runs, answers, itertools.repeat(profile), chunksize=16)), dtype=float)
    measured = table[LOADS].to_numpy(dtype=float)
    idle = table["avg_waiting_queue"].to_numpy(dtype=float) < 1
    kinds = {"while no request waits": (measured > SOME) & idle, "while requests wait": (measured > SOME) & ~idle}
    return [
        LoadScore(
            f"{model}: loads into slots, {kind}",
            int(rows.sum()),
            float(measured[rows].sum()),
            float(twin[rows].sum()),
            smape(measured[rows], twin[rows]),
        )
        for kind, rows in kinds.items()
        if rows.any()
    ]


def _loads(run: dict[str, float], answer: float, profile: Profile) -> int:
    """What the twin loads in a run under Poisson traffic of requests of one length."""
    from twin.engine.simulation import simulate

    slots, adapters = int(run["gpu_loras"]), int(run["cpu_loras"])
    workload = Workload.alike(
        np.full(adapters, run["rate"]),
        rank=np.full(adapters, run["rank"]),
        input_mean=INPUT_TOKENS,
        input_std=1.0,
        output_mean=answer,
        output_std=1.0,
    )
    settings = profile.settings(
        max_loras=slots, max_cpu_loras=max(adapters, slots), max_lora_rank=max(int(run["rank"]), 8)
    )
    return simulate(profile, settings, workload, duration_s=float(run["duration"])).adapter_loads


def _times(model: str, table: pd.DataFrame, profile: Profile) -> list[LoadScore]:
    loading, ranks = profile.loading, table["ranks"]
    kinds = {
        ("disk to host memory", "disk_load_ms_mean"): loading.disk_base_ms + loading.disk_per_rank_ms * ranks,
        ("host memory to slot", "memory_load_ms_mean"): loading.memory_base_ms + loading.memory_per_rank_ms * ranks,
    }
    return [
        LoadScore(
            f"{model}: ms, {kind}, rank {rank:g}",
            len(rows),
            float(rows[column].mean()),
            float(twin[rows.index].mean()),
            smape(rows[column], twin[rows.index]),
        )
        for (kind, column), twin in kinds.items()
        for rank, rows in table.groupby("ranks")
    ]


def load_table(scores: Sequence[LoadScore]) -> Table:
    """The scores, a row each."""
    table = Table(title="loads of adapters", title_justify="left")
    table.add_column("")
    for name in ("rows", "measured", "twin", "SMAPE %"):
        table.add_column(name, justify="right", no_wrap=True)
    for score in scores:
        figures = (
            (f"{score.measured:,.4g}", f"{score.twin:,.4g}")
            if score.measured < 1000
            else (
                f"{score.measured:,.0f}",
                f"{score.twin:,.0f}",
            )
        )
        table.add_row(score.kind, str(score.rows), *figures, f"{score.smape:.1f}")
    return table
