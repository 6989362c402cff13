"""`advisor place`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from advisor.cli import streams
from advisor.cli.options import (
    TTFT_LIMIT,
    InventoryFile,
    ItlLimit,
    Listing,
    ObjectiveOption,
    TtftLimit,
    Zoo,
    objective_of,
)
from advisor.recommend.objective import ObjectiveName


def place(
    inventory: InventoryFile,
    *,
    gpus: Annotated[int | None, typer.Option("--gpus", min=1, metavar="N", help="GPUs that there are")] = None,
    objective: ObjectiveOption = ObjectiveName.STEADY,
    ttft_limit: TtftLimit = TTFT_LIMIT,  # type: ignore[assignment]  # typer parses defaults, too
    itl_limit: ItlLimit = None,
    form: Annotated[Listing, typer.Option("--format", help="How the answer is written")] = Listing.TEXT,
    zoo: Zoo = None,
) -> None:
    """Place adapters on the fewest GPUs that serve them all."""
    from advisor.inventory.inventory import load
    from advisor.place.place import place as placed
    from advisor.place.problem import GpuType, Problem
    from advisor.report.placement import write
    from advisor.zoo.pairs import find_pair

    loaded = load(inventory)
    pair = find_pair(loaded.model, loaded.gpu, zoo)
    problem = Problem(loaded, (GpuType(pair),), objective_of(objective, ttft_limit, itl_limit), gpus=gpus)
    answer = placed(problem)
    if form is Listing.JSON:
        streams.write(json.dumps(answer.document(loaded), indent=2))
    else:
        streams.write(write(answer, loaded))
    if not answer.holds:
        raise typer.Exit(1)
