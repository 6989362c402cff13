"""Steps and KV caches of servers that were measured, beside what a Profile says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from calibrate.csv_table import read_csv
from calibrate.errors import CalibrationError
from twin.engine.latency import StepWork, step_cost, step_ms
from twin.profile import Profile

SERVER = ["max_loras", "max_lora_rank", "gpu_memory_utilization"]
BATCH = ["requests", "adapters"]
MEASURED = ["step_ms", "kv_tokens"]


def read(path: Path) -> pd.DataFrame:
    """Measured servers, a step or a KV cache a line; without LoRA their slots are 0.

    Raises:
        CalibrationError: it is no such table.
    """
    table = read_csv(path, [*BATCH, *SERVER, *MEASURED])
    wrong = (table[MEASURED].notna().sum(axis=1) != 1) | table[SERVER].isna().any(axis=1)
    wrong |= table["step_ms"].notna() & table[BATCH].isna().any(axis=1)
    if wrong.any():
        line = int(wrong.to_numpy().argmax()) + 2
        raise CalibrationError(f"{path}:{line}: a server and either step_ms, with requests and adapters, or kv_tokens")
    return table


def derived(profile: Profile, table: pd.DataFrame) -> list[float]:
    """What the Profile says of each line: the time of a step in which all requests decode, ms, or tokens."""
    found = []
    row: Any
    for row in table.itertuples():
        slots, rank = int(row.max_loras), int(row.max_lora_rank)
        if pd.notna(row.step_ms):
            requests, adapters = int(row.requests), int(row.adapters)
            work = StepWork(requests, 0, 0 if adapters else requests, adapters, 0)
            found.append(float(step_ms(step_cost(profile, slots, rank), work)))
        else:
            found.append(float(profile.memory.kv_capacity_tokens(slots, rank, float(row.gpu_memory_utilization))))
    return found


def beside(profile: Profile, table: pd.DataFrame) -> Table:
    """Measured and derived, line by line."""
    shown = Table(title=f"{profile.pair.name}, vLLM {profile.pair.vllm}: measured beside derived", title_justify="left")
    shown.add_column("server")
    shown.add_column("")
    for name in ("measured", "derived", "off"):
        shown.add_column(name, justify="right")
    row: Any
    for row, says in zip(table.itertuples(), derived(profile, table), strict=True):
        of_step = pd.notna(row.step_ms)
        measured, form = (row.step_ms, ".1f") if of_step else (row.kv_tokens, ",.0f")
        off = f"{100 * (says / measured - 1):+.0f} %"
        shown.add_row(
            _server(row.max_loras, row.max_lora_rank), _what(row), f"{measured:{form}}", f"{says:{form}}", off
        )
    return shown


def _server(max_loras: float, max_lora_rank: float) -> str:
    return f"{max_loras:.0f} slots of rank {max_lora_rank:.0f}" if max_loras else "without LoRA"


def _what(row: Any) -> str:
    requests, adapters = row.requests, row.adapters
    if pd.isna(requests):
        return "KV cache, tokens"
    of = f" of {adapters:.0f} adapter{'' if adapters == 1 else 's'}" if adapters else ""
    return f"ms a step, {requests:.0f} request{'' if requests == 1 else 's'}{of}"
