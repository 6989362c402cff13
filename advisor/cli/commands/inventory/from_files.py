"""`advisor inventory from-files`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from advisor.cli.commands.inventory.output import Force, Form, Gpu, Into, InventoryFormat, Model, Output, Writer


def from_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Deployment files of one server")],
    *,
    model: Model = None,
    gpu: Gpu = None,
    output: Output = None,
    into: Into = None,
    force: Force = False,
    form: Form = InventoryFormat.TOML,
) -> None:
    """Read the adapters and the settings that deployment files name."""
    writer = Writer(model=model, gpu=gpu, output=output, into=into, force=force, form=form)
    from advisor.discovery import launch_files

    writer.write(launch_files.read(files))
