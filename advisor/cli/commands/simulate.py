"""`advisor simulate`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from advisor.cli.terminal import streams
from advisor.cli.usage.duration import limit, seconds
from advisor.cli.usage.options import TTFT_LIMIT, Listing, TtftLimit, Zoo, objective_of
from advisor.recommend.objective import ObjectiveName
from twin.service_level import Limit

if TYPE_CHECKING:
    from advisor.simulation import Simulation

DAY_S = 86_400.0
MOST_DURATION_S = 30 * DAY_S
"""More than any phases of traffic take, and minutes to simulate."""


def simulate(
    inventory: Annotated[list[Path], typer.Argument(metavar="INVENTORY", help="inventory.toml, one or many")],
    *,
    max_loras: Annotated[int | None, typer.Option(min=1, metavar="G", help="Adapter slots")] = None,
    max_lora_rank: Annotated[int | None, typer.Option(min=1, metavar="R", help="Rank of every slot")] = None,
    no_lora: Annotated[
        bool, typer.Option("--no-lora", help="Serve the same requests with LoRA off, by the base model")
    ] = False,
    duration: Annotated[
        float | None,
        typer.Option(parser=seconds, metavar="TIME", help="Simulated time [default: 1h, or what --requests spans]"),
    ] = None,
    requests: Annotated[
        Path | None,
        typer.Option(metavar="LOG", help="Replay a .csv or .jsonl with time, adapter, input and output"),
    ] = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="No adapter is in memory at the start: each is read from disk when asked for")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the requests, where they are drawn")] = 0,
    ttft_limit: TtftLimit = TTFT_LIMIT,  # type: ignore[assignment]
    itl_limit: Annotated[
        Limit | None,
        typer.Option("--itl-limit", parser=limit, metavar="TIME", help="Largest mean ITL, or percentile: p95=60ms"),
    ] = None,
    form: Annotated[Listing, typer.Option("--format", help="A table, or one JSON line per inventory")] = Listing.TEXT,
    zoo: Zoo = None,
) -> None:
    """Let the digital twin serve inventories under given settings."""
    from advisor.cli.terminal.compiling import compiling_noted
    from advisor.report.table import table
    from advisor.simulation import COLUMNS, prepare

    if no_lora:
        for option, given in (("--max-loras", max_loras), ("--max-lora-rank", max_lora_rank), ("--cold", cold)):
            if given:
                raise typer.BadParameter(f"{option} is about adapters, which --no-lora does without: give one of them")
    if duration is not None and duration > MOST_DURATION_S:
        days = MOST_DURATION_S / DAY_S
        raise typer.BadParameter(f"--duration is {duration:g} s, but {days:.0f} days ({days * 24:.0f}h) is the most")
    objective = objective_of(ObjectiveName.LATENCY, ttft_limit, itl_limit)
    # All of the input is checked before the first simulation.
    simulations = [
        prepare(path, zoo, max_loras=max_loras, max_lora_rank=max_lora_rank, lora=not no_lora, log=requests, cold=cold)
        for path in inventory
    ]
    with compiling_noted():
        results = (each.measure(duration_s=duration, seed=seed, objective=objective) for each in simulations)
        if form is Listing.JSON:
            for each, result in zip(simulations, results, strict=True):
                streams.write(json.dumps(result))
                _say_why(each, result)
        else:
            rows = list(results)
            columns = (*COLUMNS, "refused") if any(row["refused"] for row in rows) else COLUMNS
            streams.write(table(rows, columns, streams.width() or streams.WIDTH))
            for each, row in zip(simulations, rows, strict=True):
                _say_why(each, row)
                if row["missed"] and itl_limit is not None:
                    streams.write(f"\n{row['inventory']}: {'; '.join(row['missed'])}")
            for basis in dict.fromkeys(each.basis for each in simulations):
                streams.write(f"\n{basis.pair}: {basis}")


def _say_why(simulation: Simulation, measures: Mapping[str, Any]) -> None:
    """Say what a server lacks that does not start."""
    if measures["oom"]:
        streams.note(simulation.refusal(measures["kv_capacity_tokens"]))
