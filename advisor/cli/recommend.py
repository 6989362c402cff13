"""`advisor recommend`."""

from __future__ import annotations

from typing import Annotated

import typer

from advisor.cli import streams
from advisor.cli.options import (
    TTFT_LIMIT,
    InventoryFile,
    ItlLimit,
    ObjectiveOption,
    TtftLimit,
    Zoo,
    objective_of,
    recommendation_of,
)
from advisor.recommend.objective import ObjectiveName
from advisor.report import Format, write


def recommend(
    inventory: InventoryFile,
    *,
    objective: ObjectiveOption = ObjectiveName.STEADY,
    ttft_limit: TtftLimit = TTFT_LIMIT,  # type: ignore[assignment]  # typer parses defaults, too
    itl_limit: ItlLimit = None,
    verify: Annotated[bool, typer.Option("--verify", help="Let the digital twin check the answer")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 unless every adapter is admitted")] = False,
    form: Annotated[Format, typer.Option("--format", help="How the answer is written")] = Format.TEXT,
    zoo: Zoo = None,
) -> None:
    """Recommend launch flags and an admission limit."""
    wanted = objective_of(objective, ttft_limit, itl_limit)
    loaded, pair, answer = recommendation_of(inventory, wanted, zoo)
    if verify and answer.feasible:
        from advisor.cli.compiling import compiling_noted
        from advisor.simulation import verified

        with compiling_noted():
            answer = verified(answer, loaded, pair.profile, wanted)
    streams.write(write(answer, form))
    if form is Format.ARGS and not answer.feasible:
        streams.note(f"not feasible: {answer.reason}")
    refused = strict and (not answer.feasible or answer.admission.rejected)
    if refused or answer.disproved:
        raise typer.Exit(1)
