"""The figures of a campaign as the measurement tables that a profile is fitted from (`calibrate.tables`, `.runs`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from calibrate import output
from calibrate.live.campaign import START, Campaign
from calibrate.live.measure import Row
from calibrate.live.plan import FullBatch, Hours, Idle, Loads, Start

SERVED, VALIDATION = "served_runs.csv", "validation_runs.csv"


def write(campaign: Campaign, model: str, folder: Path) -> None:
    """Write the tables of what has been measured so far, and the requests behind them.

    `model` is what its rows are called.
    """
    tables: dict[str, list[Row]] = {}

    def add(table: str, row: Row, **more: float | str) -> None:
        tables.setdefault(table, []).append({"model": model, "set": "live", **row, **more})

    for start in campaign.starts:
        told = campaign.row(start, START)
        if not told:
            continue
        settings = f"_{start.settings.max_loras}_{start.settings.max_lora_rank}_"
        if start.settings.max_loras:
            add("kv_capacity.csv", campaign.row(start, Idle().key) | told, folder=settings)
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
                        name = f"_{one.batch}{settings.removesuffix('_')}{size}_{one.adapters}"
                        add(
                            "adapter_overhead.csv", {"num_running_max": one.batch} | row, set="live/output", folder=name
                        )
                    else:
                        kind = "input" if one.answer_tokens == 1 else "output"
                        add("decode_latency.csv", row, set=kind, folder=f"_{one.batch}{size}")
                case Loads():
                    add("adapter_loading.csv", row)
                case Hours() if one == _middle(campaign, start, one):
                    name = VALIDATION if one.validation else SERVED
                    add(name, row, group="live", max_lora_rank=start.settings.max_lora_rank, oom=0)
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        pd.DataFrame(rows).to_csv(folder / name, index=False)


def spreads(campaign: Campaign) -> dict[Hours, float]:
    """How far the rounds of the same traffic lie apart: (largest - smallest) / middle ITL, by its first round.

    The same requests came at the same times, so it is the machine that was faster or slower.
    """
    found = {}
    for start in campaign.starts:
        for first in start.measurements:
            if isinstance(first, Hours) and not first.round:
                itl_ms = [each for each, _ in _rounds(campaign, start, first)]
                if len(itl_ms) > 1:
                    found[first] = (itl_ms[-1] - itl_ms[0]) / itl_ms[(len(itl_ms) - 1) // 2]
    return found


def _middle(campaign: Campaign, start: Start, hours: Hours) -> Hours:
    """Of the rounds of the same traffic the one with the middle ITL."""
    done = _rounds(campaign, start, hours)
    return done[(len(done) - 1) // 2][1]


def _rounds(campaign: Campaign, start: Start, hours: Hours) -> list[tuple[float, Hours]]:
    """The ITL, ms, and the rounds of the same traffic that are done, the fastest first."""
    rounds = [
        one for one in start.measurements if isinstance(one, Hours) and replace(one, round=0) == replace(hours, round=0)
    ]
    done = [(float(row["itl_mean_ms"]), one) for one in rounds if (row := campaign.row(start, one.key))]
    return sorted(done, key=lambda each: (each[0], each[1].round))
