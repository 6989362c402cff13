"""`advisor inventory from-log`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from advisor.cli.commands.inventory.output import Force, Form, Gpu, Into, InventoryFormat, Model, Output, Writer


def from_log(
    log: Annotated[
        Path, typer.Argument(metavar="LOG", help="CSV, JSON lines (LiteLLM, OpenAI), vLLM's own; - is stdin")
    ],
    *,
    busiest_hour: Annotated[
        bool, typer.Option("--busiest-hour", help="Rates of the hour with the most requests, not of the whole log")
    ] = False,
    model: Model = None,
    gpu: Gpu = None,
    output: Output = None,
    into: Into = None,
    force: Force = False,
    form: Form = InventoryFormat.TOML,
) -> None:
    """Read rates, lengths, burstiness, the day's phases and shared prefixes by adapter from a log of requests."""
    writer = Writer(model=model, gpu=gpu, output=output, into=into, force=force, form=form)
    from advisor.discovery.logs import request_log, traffic

    writer.write(traffic.discover(request_log.read(log), base_names=writer.base_names(), busiest_hour=busiest_hour))
