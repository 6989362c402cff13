"""`advisor render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from advisor.cli.terminal import streams
from advisor.cli.terminal.signals import undo_when_killed
from advisor.cli.usage.options import (
    TTFT_LIMIT,
    InventoryFile,
    ItlLimit,
    ObjectiveOption,
    TtftLimit,
    Zoo,
    list_described,
    objective_of,
    recommendation_of,
)
from advisor.errors import InputError
from advisor.names import listed
from advisor.recommend.objective import ObjectiveName


def _list(asked: bool) -> None:
    if asked:
        from advisor.deploy.write.template import descriptions

        list_described(descriptions())


def render(
    inventory: InventoryFile,
    *,
    template: Annotated[
        list[str],
        typer.Option("--template", "-t", metavar="NAME", help="One that --list names, or the path of your own"),
    ],
    _: Annotated[
        bool, typer.Option("--list", callback=_list, is_eager=True, help="Name the templates, a line each, and exit")
    ] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write files here")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there already")] = False,
    vllm: Annotated[
        str | None, typer.Option("--vllm", metavar="VERSION", help="Write for this vLLM [default: the measured one]")
    ] = None,
    at_run_time: Annotated[
        bool, typer.Option("--at-run-time", help="Load adapters while vLLM runs, not when it starts")
    ] = False,
    enforce: Annotated[
        bool, typer.Option("--enforce", help="Have vLLM refuse requests beyond the limit (0.29 and later)")
    ] = False,
    objective: ObjectiveOption = ObjectiveName.STEADY,
    ttft_limit: TtftLimit = TTFT_LIMIT,  # type: ignore[assignment]
    itl_limit: ItlLimit = None,
    zoo: Zoo = None,
) -> None:
    """Write launch files, from shipped templates or your own."""
    from advisor.deploy.write import render as rendering
    from advisor.deploy.write.render_context import Options

    undo_when_killed()
    if output is None and len(template) > 1:
        raise typer.BadParameter("several templates need a directory to write to: add -o DIR")
    loaded, pair, answer = recommendation_of(inventory, objective_of(objective, ttft_limit, itl_limit), zoo)
    if not answer.feasible:
        streams.note(f"nothing to render: not feasible: {answer.reason}")
        raise typer.Exit(1)
    options = Options(vllm, at_run_time, enforce)
    files = [rendering.render(each, answer, loaded, pair, options) for each in template]
    if rejected := len(answer.admission.rejected):
        streams.note(f"{rejected:,} of {answer.admission.of:,} adapters are not admitted and left out")
    if (names := rendering.unsourced(answer, loaded)) and not at_run_time:
        streams.note(
            f"{len(names):,} of {answer.admission.adapters:,} adapters have no source in the inventory: vLLM does not "
            f"load them at start; add their sources, or load them while it runs: {listed(names)}"
        )
    if output is None:
        streams.write(files[0].text, end="")
        return
    try:
        paths = rendering.write(files, output, replace=force)
    except rendering.FileThereError as error:
        raise InputError(f"{error}; --force replaces it") from error
    for path in paths:
        streams.write(str(path))
