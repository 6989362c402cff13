"""`advisor pairs`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from advisor.cli import streams
from advisor.cli.options import Listing, Zoo


def pairs(
    form: Annotated[Listing, typer.Option("--format", help="How the list is written")] = Listing.TEXT,
    zoo: Zoo = None,
) -> None:
    """List the pairs there are, and how good their models are."""
    from advisor.zoo.pairs import load_zoo

    there = load_zoo(zoo)
    found = [pair.summary() for pair in there.pairs]
    for message in there.broken:
        streams.note(message)
    if form is Listing.JSON:
        streams.write(json.dumps(found, indent=2))
        return
    from advisor.report.table import table

    width = streams.width()
    blocks = [table(found, ["pair", "vllm", "date", "workloads", "simulations", "source"], width)]
    errors = [{"pair": pair["pair"], **error} for pair in found for error in pair["errors"]]
    relative = [error for error in errors if "mape_percent" in error]
    columns = ["pair", "output", "objective", "smape_percent", "mape_percent", "p95_percent"]
    blocks.append("Errors on workloads that were not trained on\n" + table(relative, columns, width))
    if answers := [error for error in errors if "missed_percent" in error and error["output"] == "chance"]:
        columns = [
            "pair",
            "objective",
            "smape_percent",
            "missed_percent",
            "starved_percent",
            "throughput_regret_percent",
        ]
        blocks.append("Recommendations for workloads that were not trained on\n" + table(answers, columns, width))
    streams.write("\n\n".join(blocks))
