"""`advisor inventory check`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from advisor.cli.terminal import streams
from advisor.cli.usage.options import InventoryFile, Listing


def check(
    inventory: InventoryFile,
    form: Annotated[Listing, typer.Option("--format", help="How it is written")] = Listing.TEXT,
) -> None:
    """Explain an inventory: totals, shares, and what in it is odd."""
    from advisor.discovery.portrait import portrait
    from advisor.inventory.inventory import load

    shown = portrait(load(inventory))
    streams.write(json.dumps(shown.as_json(), indent=2) if form is Listing.JSON else shown.as_text())
