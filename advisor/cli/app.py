"""The commands together. Every import that takes time stays inside the command that needs it."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from advisor import __version__
from advisor.cli.commands.check import check
from advisor.cli.commands.explain import explain
from advisor.cli.commands.inventory import inventory
from advisor.cli.commands.pairs import pairs
from advisor.cli.commands.place import place
from advisor.cli.commands.recommend import recommend
from advisor.cli.commands.render import render
from advisor.cli.commands.schema import schema
from advisor.cli.commands.simulate import simulate
from advisor.cli.terminal import streams
from advisor.cli.usage.examples import epilog

UsageError = cast(type[typer.BadParameter], typer.BadParameter.__base__)
"""A mistake in the arguments: the class of click, or of the copy of it that newer typers bring."""

app = typer.Typer(
    name="advisor",
    help="vLLM launch flags and an admission limit for an inventory of LoRA adapters.",
    epilog="Exit codes: 0 fine, 1 the answer is no, 2 bad input.",
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (recommend, place, check, render, simulate, pairs, explain, schema):
    app.command(epilog=epilog(command.__name__))(command)
app.add_typer(inventory)


def _version(asked: bool) -> None:
    if asked:
        streams.write(f"adapter-advisor {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _without_command(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        with streams.quiet_stderr():
            typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)
