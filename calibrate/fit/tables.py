"""Measurement tables: the CSV files that a profile is fitted from, read and checked.

One folder holds six files, one row per run of a real server; columns not named here are ignored. Times are ms unless
the name says `_s`. In a `folder` name the settings of the run are the numbers between underscores.

`decode_latency.csv`, no LoRA, the server kept full:
    model; set ('output': 1-word prompts, or 'input': one output token); folder `_<max_num_seqs>__<words>_<outputs>`;
    completed, duration_s, input_tokens, output_tokens (totals of the run); tpot_mean_ms
`adapter_overhead.csv`, the server kept full, every request asking for one of so many adapters at random:
    model; set ('…/output': 1-word prompts, folder `_<max_num_seqs>_<max_loras>_<rank>__<words>_<outputs>_<adapters>`,
    or `_<max_num_seqs>__<words>_<outputs>` without LoRA; 'find_max_batch…': long prompts and as many adapters as slots,
    folder `_<max_loras>_<rank>__<words>_<outputs>`); completed, input_tokens, output_tokens, tpot_mean_ms,
    num_running_max
`kv_capacity.csv`, one request on an idle server:
    model; folder `_<max_loras>_<max_lora_rank>_`; oom (1: the server did not start); kv_capacity_tokens,
    ttft_mean_ms, itl_mean_ms (empty where it did not start)
`adapter_loading.csv`:
    model; ranks (the adapters' rank); disk_load_ms_mean (disk to host memory), memory_load_ms_mean (to a GPU slot)
`crowd.csv`, a steady batch on all slots, others who arrive, and then wait for a slot; absent where nobody measured it:
    model; quiet_ms (a step of the batch alone), arriving_ms (a step while `arrivals_s` requests/s arrive, of which
    `arriving_waiting` wait on average), waiting_ms (a step while `waiting` wait)
`scheduler_steps.csv`, Poisson traffic; absent or without rows of a model that is fitted like another one:
    model (without this column all rows count); gpu_loras (max_loras), cpu_loras (adapters served), rank, duration (s),
    steps, completed_requests, processed_tokens (output tokens), avg_batch_size, avg_waiting_queue,
    mean_itl_ms, total_scheduling_time (s), max_lora_loading_time (s, host to
    GPU), max_lora_loads_from_disk (count)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from calibrate.csv_table import read_csv
from calibrate.errors import CalibrationError

TOTALS = ["completed", "input_tokens", "output_tokens"]
COLUMNS = {
    "decode_latency": ["model", "set", "folder", *TOTALS, "duration_s", "tpot_mean_ms"],
    "adapter_overhead": ["model", "set", "folder", *TOTALS, "tpot_mean_ms", "num_running_max"],
    "kv_capacity": ["model", "folder", "oom", "kv_capacity_tokens", "ttft_mean_ms", "itl_mean_ms"],
    "adapter_loading": ["model", "ranks", "disk_load_ms_mean", "memory_load_ms_mean"],
    "crowd": ["model", "quiet_ms", "arriving_ms", "arrivals_s", "arriving_waiting", "waiting_ms", "waiting"],
    "scheduler_steps": [
        *["gpu_loras", "cpu_loras", "rank", "duration", "steps", "completed_requests", "processed_tokens"],
        *["avg_batch_size", "avg_waiting_queue", "mean_itl_ms"],
        *["total_scheduling_time", "max_lora_loading_time", "max_lora_loads_from_disk"],
    ],
}
"""Columns that must be there, by file."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The rows of one model; columns as in the files, and the numbers of `folder` as columns of their own."""

    decode: pd.DataFrame
    """`set` 'output' of decode_latency, with `batch` and `answer` (output tokens asked for)."""
    prefill: pd.DataFrame
    """`set` 'input' of decode_latency, with `batch`."""
    overhead: pd.DataFrame
    """adapter_overhead, with `batch`, `answer`, `max_loras`, `max_lora_rank` and `adapters` (these 0 without LoRA)."""
    capacity: pd.DataFrame
    """kv_capacity, with `max_loras` and `max_lora_rank`."""
    loading: pd.DataFrame
    """adapter_loading."""
    crowd: pd.DataFrame
    """crowd; may be empty."""
    serving: pd.DataFrame
    """scheduler_steps; may be empty."""


def read(folder: Path, model: str) -> Tables:
    """The measurements of `model` in `folder`.

    Raises:
        CalibrationError: a file or column is missing, a file is no CSV, or it knows no such model.
    """
    latency = _rows(folder / "decode_latency.csv", model).dropna(subset=["completed"])
    latency = _with_settings(latency, r"^_(?P<batch>\d+)__\d+_(?P<answer>\d+)$", folder / "decode_latency.csv")
    capacity = _with_settings(
        _rows(folder / "kv_capacity.csv", model),
        r"^_(?P<max_loras>\d+)_(?P<max_lora_rank>\d+)_$",
        folder / "kv_capacity.csv",
    )
    return Tables(
        decode=latency[latency["set"] == "output"],
        prefill=latency[latency["set"] == "input"],
        overhead=_overhead(folder / "adapter_overhead.csv", model),
        capacity=capacity,
        loading=_rows(folder / "adapter_loading.csv", model),
        crowd=_where_there(folder / "crowd.csv", model),
        serving=_where_there(folder / "scheduler_steps.csv", model),
    )


def _overhead(path: Path, model: str) -> pd.DataFrame:
    rows = _rows(path, model).dropna(subset=["completed"])
    mixed = rows["set"].str.startswith("find_max_batch")
    words = _with_settings(
        rows[~mixed],
        r"^_(?P<batch>\d+)(?:_(?P<max_loras>\d+)_(?P<max_lora_rank>\d+))?__\d+_(?P<answer>\d+)(?:_(?P<adapters>\d+))?$",
        path,
    )
    prompts = _with_settings(rows[mixed], r"^_(?P<max_loras>\d+)_(?P<max_lora_rank>\d+)__\d+_(?P<answer>\d+)$", path)
    prompts = prompts.assign(batch=prompts["num_running_max"], adapters=prompts["max_loras"])
    return pd.concat([words, prompts])


def _where_there(path: Path, model: str) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS[path.stem])
    table = _table(path)
    return table[table["model"] == model] if "model" in table else table


def _rows(path: Path, model: str) -> pd.DataFrame:
    table = _table(path)
    rows = table[table["model"] == model]
    if rows.empty:
        known = ", ".join(sorted(table["model"].dropna().unique()))
        raise CalibrationError(f"{path}: no rows of model '{model}'; it has {known}")
    return rows


def _table(path: Path) -> pd.DataFrame:
    return read_csv(path, COLUMNS[path.stem], text=("model", "set", "folder"))


def _with_settings(table: pd.DataFrame, pattern: str, path: Path) -> pd.DataFrame:
    """The table with the named numbers of `folder` as columns; 0 where an optional one is not there."""
    settings = table["folder"].str.extract(pattern)
    unread = table["folder"][settings.isna().all(axis=1)]
    if not unread.empty:
        raise CalibrationError(f"{path}: column folder: cannot read the settings from '{unread.iloc[0]}'")
    numbers = settings.fillna("0").astype(int)
    return table.assign(**{str(name): numbers[name] for name in numbers})
