"""`advisor inventory scan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from advisor.cli.commands.inventory.output import Force, Form, Gpu, Into, InventoryFormat, Model, Output, Writer


def scan(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders of adapters, or a hub's cache")],
    *,
    model: Model = None,
    gpu: Gpu = None,
    output: Output = None,
    into: Into = None,
    force: Force = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if an adapter is left out")] = False,
    form: Form = InventoryFormat.TOML,
) -> None:
    """Find PEFT adapters in folders, with the ranks that vLLM gives them; tell which ones it would refuse."""
    writer = Writer(model=model, gpu=gpu, output=output, into=into, force=force, form=form)
    from advisor.discovery.adapters.folders import scan as scanned

    found = scanned(folders, writer.model)
    writer.write(found)
    if strict and found.left_out:
        raise typer.Exit(1)
