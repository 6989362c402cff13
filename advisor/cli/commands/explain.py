"""`advisor explain`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from advisor.cli.terminal import streams
from advisor.cli.usage.options import Listing, Zoo


def explain(
    pair: Annotated[str, typer.Argument(metavar="PAIR", help="Short name, as `advisor pairs` lists it")],
    form: Annotated[Listing, typer.Option("--format", help="How the rules are written")] = Listing.TEXT,
    zoo: Zoo = None,
) -> None:
    """Write out every rule of a pair."""
    from advisor.zoo import explain as explaining
    from advisor.zoo.pairs import named

    trees = explaining.explain(named(pair, zoo))
    streams.write(json.dumps(trees, indent=2) if form is Listing.JSON else "\n".join(explaining.text(trees)))
