"""`advisor schema`."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from advisor.cli import streams


class SchemaFormat(StrEnum):
    """For editors, or for people."""

    JSON = "json"
    MARKDOWN = "markdown"


def schema(
    form: Annotated[
        SchemaFormat, typer.Option("--format", help="A JSON Schema, or tables of the keys")
    ] = SchemaFormat.JSON,
) -> None:
    """Print what inventory.toml may hold: a JSON Schema, by which editors complete and check it.

    With Taplo or Even Better TOML: advisor schema > inventory.schema.json, and as the first line of the inventory
    #:schema ./inventory.schema.json
    """
    if form is SchemaFormat.MARKDOWN:
        from advisor.inventory.reference import markdown

        streams.write(markdown(), end="")
        return
    from advisor.inventory.json_schema import json_schema

    streams.write(json.dumps(json_schema(), indent=2, ensure_ascii=False))
