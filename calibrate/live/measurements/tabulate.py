"""The figures of a campaign as the measurement tables that a profile is fitted from (`calibrate.fit.tables`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pandas as pd

from calibrate import output
from calibrate.live.measurements.campaign import START, Campaign
from calibrate.live.measurements.measure import Row
from calibrate.live.measurements.plan import FullBatch, Hours, Idle, Loads, Start

SERVED, VALIDATION = "served_runs.csv", "validation_runs.csv"
PROMPTS = "lora_prompts.csv"
"""Prompts alone, with LoRA: for `calibrate.live.measurements.experiments`; no fit takes it."""


def write(campaign: Campaign, model: str, folder: Path) -> None:
    """Write the tables of what has been measured so far, and the requests behind them; variants are left out.

    `model` is what its rows are called.
    """
    tables: dict[str, list[Row]] = {}

    def add(table: str, row: Row, **more: float | str) -> None:
        tables.setdefault(table, []).append({"model": model, "set": "live", **row, **more})

    for start in campaign.starts:
        begun = campaign.row(start, START)
        if not begun or start.variant:
            continue
        settings = f"_{start.settings.max_loras}_{start.settings.max_lora_rank}_"
        if start.settings.max_loras:
            add("kv_capacity.csv", campaign.row(start, Idle().key) | begun, folder=settings)
        for one in start.measurements:
            row = campaign.row(start, one.key)
            if not row:
                continue
            records = campaign.records(start, one.key)
            if records.exists():
                row["requests"] = name = f"requests/{start.key}-{one.key}.csv"
                output.write(folder / name, records.read_bytes())
            match one:
                case FullBatch():
                    size = f"__{one.prompt_tokens}_{one.answer_tokens}"
                    if one.adapters:
                        table = "adapter_overhead.csv" if one.answer_tokens > 1 else PROMPTS
                        name = f"_{one.batch}{settings.removesuffix('_')}{size}_{one.adapters}"
                        add(table, {"num_running_max": one.batch} | row, set="live/output", folder=name)
                    else:
                        kind = "input" if one.answer_tokens == 1 else "output"
                        add("decode_latency.csv", row, set=kind, folder=f"_{one.batch}{size}")
                case Loads():
                    add("adapter_loading.csv", row)
                case Hours() if not one.round:
                    name = VALIDATION if one.validation else SERVED
                    row |= _mean(_rounds(campaign, start, one))
                    add(name, row, group="live", max_lora_rank=start.settings.max_lora_rank, oom=0)
    for name, rows in tables.items():
        output.write(folder / name, pd.DataFrame(rows).to_csv(index=False).encode())


def model_name(hub_id: str) -> str:
    """What the rows of the tables call a model."""
    return hub_id.rsplit("/", 1)[-1].lower()


def spreads(campaign: Campaign) -> dict[Hours, float]:
    """How far the rounds of the same traffic lie apart: (largest - smallest) / mean ITL, by its first round.

    The same requests came at the same times, so it is the machine that was faster or slower.
    """
    found = {}
    for start in campaign.starts:
        for first in start.measurements:
            if isinstance(first, Hours) and not first.round:
                itl_ms = [float(row["itl_mean_ms"]) for row in _rounds(campaign, start, first)]
                if len(itl_ms) > 1:
                    found[first] = (max(itl_ms) - min(itl_ms)) / mean(itl_ms)
    return found


def _rounds(campaign: Campaign, start: Start, first: Hours) -> list[Row]:
    """The figures of the rounds of the same traffic that are done."""
    same = (one for one in start.measurements if isinstance(one, Hours) and replace(one, round=0) == first)
    return [row for one in same if (row := campaign.row(start, one.key))]


def _mean(rounds: Sequence[Row]) -> Row:
    """The means of the figures; a machine that is slower for a minute slows one round of each traffic alike."""
    numbers = pd.DataFrame(rounds).select_dtypes("number").mean()
    return {str(name): float(value) for name, value in numbers.items()}
