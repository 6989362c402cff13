"""`advisor inventory`: inventories that write themselves, and what one says."""

from __future__ import annotations

import typer

from advisor.cli.commands.inventory.check import check
from advisor.cli.commands.inventory.from_files import from_files
from advisor.cli.commands.inventory.from_log import from_log
from advisor.cli.commands.inventory.from_metrics import from_metrics
from advisor.cli.commands.inventory.scan import scan
from advisor.cli.terminal import streams
from advisor.cli.usage.examples import epilog

inventory = typer.Typer(
    name="inventory",
    help="Write an inventory from what is there: folders, metrics, logs, deployment files; or explain one.",
    epilog="They combine: `scan` for ranks with -o, then `from-log` with --into for traffic.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
inventory.command(epilog=epilog("scan"))(scan)
inventory.command("from-metrics", epilog=epilog("from-metrics"))(from_metrics)
inventory.command("from-log", epilog=epilog("from-log"))(from_log)
inventory.command("from-files", epilog=epilog("from-files"))(from_files)
inventory.command(epilog=epilog("inventory-check"))(check)


@inventory.callback()
def _without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        with streams.quiet_stderr():
            typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)
