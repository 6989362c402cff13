"""The figures of a campaign as the measurement tables that a profile is fitted from (`calibrate.fit.tables`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pandas as pd

from calibrate import output
from calibrate.live.measurements.campaign import START, Campaign
from calibrate.live.measurements.measure import Row
from calibrate.live.measurements.plan import Crowd, FullBatch, Hours, Idle, Loads, Measurement, Start

SERVED, VALIDATION = "served_runs.csv", "validation_runs.csv"
ROUNDS = "rounds.csv"
"""Every round of both, one by one; `group` tells them apart (`group_of`)."""
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
        if start.settings.max_loras:
            add("kv_capacity.csv", campaign.row(start, Idle().key) | begun, folder=f"{_settings(start)}_")
        for one in start.measurements:
            row = campaign.row(start, one.key)
            if not row:
                continue
            records = campaign.records(start, one.key)
            if records.exists():
                row["requests"] = name = f"requests/{start.key}-{one.key}.csv"
                output.write(folder / name, records.read_bytes())
            for table, more in _places(campaign, start, one):
                add(table, {"num_running_max": one.batch} | row if isinstance(one, FullBatch) else row, **more)
    for name, rows in tables.items():
        output.write(folder / name, pd.DataFrame(rows).to_csv(index=False).encode())


def _places(campaign: Campaign, start: Start, one: Measurement) -> Iterator[tuple[str, Row]]:
    """The tables that a measurement has a row in, and what the row says beyond its figures."""
    match one:
        case FullBatch():
            size = f"__{one.prompt_tokens}_{one.answer_tokens}"
            if one.adapters:
                table = "adapter_overhead.csv" if one.answer_tokens > 1 else PROMPTS
                yield table, {"set": "live/output", "folder": f"_{one.batch}{_settings(start)}{size}_{one.adapters}"}
            else:
                kind = "input" if one.answer_tokens == 1 else "output"
                yield "decode_latency.csv", {"set": kind, "folder": f"_{one.batch}{size}"}
        case Loads():
            yield "adapter_loading.csv", {}
        case Crowd():
            yield "crowd.csv", {}
        case Hours():
            more: Row = {"max_lora_rank": start.settings.max_lora_rank, "oom": 0}
            yield ROUNDS, {"group": group_of(validation=one.validation, turn=one.round), **more}
            if not one.round:
                means = _mean(_rounds(campaign, start, one))
                yield VALIDATION if one.validation else SERVED, {**means, "group": "live", **more}


def _settings(start: Start) -> str:
    return f"_{start.settings.max_loras}_{start.settings.max_lora_rank}"


def group_of(*, validation: bool, turn: int) -> str:
    """The group of a round's rows in `ROUNDS`."""
    return f"{'validation' if validation else 'served'} round {turn}"


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
