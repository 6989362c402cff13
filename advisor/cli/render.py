"""`advisor render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from advisor.cli import streams
from advisor.cli.options import (
    InventoryFile,
    ItlLimit,
    ObjectiveOption,
    TtftLimit,
    Zoo,
    objective_of,
    recommendation_of,
)
from advisor.recommend.objective import ObjectiveName


def render(
    inventory: InventoryFile,
    *,
    template: Annotated[
        list[str],
        typer.Option("--template", "-t", help="compose, kubernetes, serve, vllm-config, or the path of your own"),
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write files here")] = None,
    objective: ObjectiveOption = ObjectiveName.STEADY,
    ttft_limit: TtftLimit = "2s",  # type: ignore[assignment]
    itl_limit: ItlLimit = None,
    zoo: Zoo = None,
) -> None:
    """Write launch files, from shipped templates or your own."""
    from advisor.deploy import render as rendering

    if output is None and len(template) > 1:
        raise typer.BadParameter("several templates need a directory to write to: add -o DIR")
    loaded, pair, answer = recommendation_of(inventory, objective_of(objective, ttft_limit, itl_limit), zoo)
    if not answer.feasible:
        streams.note(f"nothing to render: not feasible: {answer.reason}")
        raise typer.Exit(1)
    files = [rendering.render(each, answer, loaded, pair) for each in template]
    if rejected := len(answer.admission.rejected):
        streams.note(f"{rejected:,} of {answer.admission.of:,} adapters are not admitted and left out")
    if output is None:
        streams.write(files[0].text, end="")
    else:
        for path in rendering.write(files, output):
            streams.write(str(path))
