"""The command `advisor`: reads arguments, calls one function, writes its result.

Every import that takes time stays inside the command that needs it.
"""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advisor.cli.duration import seconds
from advisor.errors import InputError
from advisor.recommend.objective import Objective, ObjectiveName
from advisor.report import Format

if TYPE_CHECKING:
    from advisor.inventory.inventory import Inventory
    from advisor.recommend.recommendation import Recommendation
    from advisor.zoo.pairs import Pair

app = typer.Typer(
    name="advisor",
    help="vLLM launch flags and an admission limit for an inventory of LoRA adapters.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Listing(StrEnum):
    """The formats of the commands that list things."""

    TEXT = "text"
    JSON = "json"


InventoryFile = Annotated[Path, typer.Argument(metavar="INVENTORY", help="inventory.toml")]
Zoo = Annotated[Path | None, typer.Option("--zoo", metavar="DIR", help="Directory of pairs [default: the shipped one]")]
ObjectiveOption = Annotated[ObjectiveName, typer.Option("--objective", help="What a configuration must achieve")]
TtftLimit = Annotated[float, typer.Option("--ttft-limit", parser=seconds, metavar="TIME", help="Largest mean TTFT")]
ItlLimit = Annotated[
    float | None,
    typer.Option("--itl-limit", parser=seconds, metavar="TIME", help="Largest mean ITL, for --objective latency"),
]


@app.command()
def recommend(
    inventory: InventoryFile,
    *,
    objective: ObjectiveOption = ObjectiveName.STEADY,
    ttft_limit: TtftLimit = "2s",  # type: ignore[assignment]  # typer parses defaults, too
    itl_limit: ItlLimit = None,
    verify: Annotated[bool, typer.Option("--verify", help="Let the digital twin check the answer")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 unless every adapter is admitted")] = False,
    form: Annotated[Format, typer.Option("--format", help="How the answer is written")] = Format.TEXT,
    zoo: Zoo = None,
) -> None:
    """Recommend launch flags and an admission limit."""
    from advisor import report as formats

    wanted = Objective(objective, ttft_limit, itl_limit)
    loaded, pair, answer = _recommend(inventory, wanted, zoo)
    if verify and answer.flags is not None:
        from advisor.simulation import verified

        answer = verified(answer, loaded, pair.profile, ttft_limit)
    typer.echo(formats.write(answer, form))
    if form is Format.ARGS and not answer.feasible:
        _note(f"not feasible: {answer.reason}")
    refused = strict and (not answer.feasible or answer.admission.rejected)
    if refused or answer.disproved:
        raise typer.Exit(1)


@app.command()
def render(
    inventory: InventoryFile,
    *,
    template: Annotated[list[str], typer.Option("--template", "-t", help="Name of a shipped template, or a path")],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write files here")] = None,
    objective: ObjectiveOption = ObjectiveName.STEADY,
    ttft_limit: TtftLimit = "2s",  # type: ignore[assignment]
    itl_limit: ItlLimit = None,
    zoo: Zoo = None,
) -> None:
    """Write launch files: compose, kubernetes, serve, vllm-config, or from templates of your own."""
    from advisor.deploy import render as rendering

    if output is None and len(template) > 1:
        raise InputError("several templates need a directory to write to: add -o DIR")
    loaded, pair, answer = _recommend(inventory, Objective(objective, ttft_limit, itl_limit), zoo)
    if not answer.feasible:
        _note(f"nothing to render: not feasible: {answer.reason}")
        raise typer.Exit(1)
    files = [rendering.render(each, answer, loaded, pair) for each in template]
    if rejected := len(answer.admission.rejected):
        _note(f"{rejected:,} of {answer.admission.of:,} adapters are not admitted and left out")
    if output is None:
        typer.echo(files[0].text, nl=False)
    else:
        for path in rendering.write(files, output):
            typer.echo(path)


@app.command()
def simulate(
    inventory: Annotated[list[Path], typer.Argument(metavar="INVENTORY...", help="inventory.toml, one or many")],
    *,
    max_loras: Annotated[int | None, typer.Option(min=1, metavar="G", help="Adapter slots")] = None,
    max_lora_rank: Annotated[int | None, typer.Option(min=1, metavar="R", help="Rank of every slot")] = None,
    duration: Annotated[
        float | None,
        typer.Option(parser=seconds, metavar="TIME", help="Simulated time [default: 1h, or what --requests spans]"),
    ] = None,
    requests: Annotated[
        Path | None,
        typer.Option(metavar="LOG", help="Replay a .csv or .jsonl with time, adapter, input and output"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the requests, where they are drawn")] = 0,
    ttft_limit: TtftLimit = "2s",  # type: ignore[assignment]
    form: Annotated[Listing, typer.Option("--format", help="A table, or one JSON line per inventory")] = Listing.TEXT,
    zoo: Zoo = None,
) -> None:
    """Let the digital twin serve inventories under given settings."""
    from advisor.report.table import table
    from advisor.simulation import COLUMNS, prepare

    # All of the input is checked before the first simulation.
    runs = [prepare(path, zoo, max_loras=max_loras, max_lora_rank=max_lora_rank, log=requests) for path in inventory]
    results = (run.measure(duration_s=duration, seed=seed, ttft_limit_s=ttft_limit) for run in runs)
    if form is Listing.JSON:
        for result in results:
            typer.echo(json.dumps(result))
    else:
        typer.echo(table(results, COLUMNS))


@app.command()
def pairs(
    form: Annotated[Listing, typer.Option("--format", help="How the list is written")] = Listing.TEXT,
    zoo: Zoo = None,
) -> None:
    """List the pairs there are, and how good their models are."""
    from advisor.zoo.pairs import load_all

    found = [pair.summary() for pair in load_all(zoo)]
    if form is Listing.JSON:
        typer.echo(json.dumps(found, indent=2))
        return
    from advisor.report.table import table

    typer.echo(table(found, ["pair", "vllm", "date", "workloads", "simulated_hours", "source"]))
    errors = [{"pair": pair["pair"], **error} for pair in found for error in pair["errors"]]
    typer.echo("\nErrors on workloads that were not trained on")
    relative = [error for error in errors if "mape_percent" in error]
    typer.echo(table(relative, ["pair", "output", "objective", "smape_percent", "mape_percent", "p95_percent"]))
    if answers := [error for error in errors if "missed_percent" in error and error["output"] == "chance"]:
        typer.echo("\nRecommendations for workloads that were not trained on")
        columns = ["smape_percent", "missed_percent", "starved_percent", "throughput_regret_percent"]
        typer.echo(table(answers, ["pair", "objective", *columns]))


@app.command()
def explain(
    pair: Annotated[str, typer.Argument(metavar="PAIR", help="Short name, as `advisor pairs` lists it")],
    form: Annotated[Listing, typer.Option("--format", help="How the rules are written")] = Listing.TEXT,
    zoo: Zoo = None,
) -> None:
    """Write out every rule of a pair."""
    from advisor.zoo import explain as explaining
    from advisor.zoo.pairs import named

    trees = explaining.explain(named(pair, zoo))
    typer.echo(json.dumps(trees, indent=2) if form is Listing.JSON else "\n".join(explaining.text(trees)))


def main() -> None:
    """Run the command; bad input ends in one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name must not fail on a terminal that lacks its letters
    try:
        app()
    except InputError as error:
        _note(str(error))
    except OSError as error:
        _note(f"cannot write the result: {error.strerror}")
        # What is still buffered has nowhere to go either; the interpreter would complain about it on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        return
    sys.exit(2)


def _recommend(path: Path, objective: Objective, zoo: Path | None) -> tuple[Inventory, Pair, Recommendation]:
    from advisor.inventory.inventory import load
    from advisor.recommend.recommend import recommend
    from advisor.zoo.pairs import find_pair

    inventory = load(path)
    pair = find_pair(inventory.model, inventory.gpu, zoo)
    return inventory, pair, recommend(inventory, pair, objective)


def _note(message: str) -> None:
    typer.echo(f"advisor: {message}", err=True)
