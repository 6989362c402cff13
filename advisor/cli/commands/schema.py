"""`advisor schema`."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from advisor.cli.terminal import streams

if TYPE_CHECKING:
    from advisor.report.schemas.parts import Schema


class SchemaFormat(StrEnum):
    """For editors, or for people."""

    JSON = "json"
    MARKDOWN = "markdown"


class Of(StrEnum):
    """What a schema is of."""

    INVENTORY = "inventory"
    ANSWER = "answer"
    PLACEMENT = "placement"


def schema(
    of: Annotated[
        Of, typer.Option("--of", help="The inventory, or the JSON of `recommend` (answer) or `place` (placement)")
    ] = Of.INVENTORY,
    form: Annotated[
        SchemaFormat, typer.Option("--format", help="A JSON Schema, or tables of the keys")
    ] = SchemaFormat.JSON,
) -> None:
    """Print what inventory.toml may hold, or an answer does: a JSON Schema, by which editors complete and check it.

    With Taplo or Even Better TOML: advisor schema > inventory.schema.json, and as the first line of the inventory
    #:schema ./inventory.schema.json
    """
    if of is not Of.INVENTORY:
        if form is SchemaFormat.MARKDOWN:
            raise typer.BadParameter("--format markdown: the tables are of the inventory's keys alone")
        streams.write(json.dumps(_of_answers(of), indent=2))
        return
    if form is SchemaFormat.MARKDOWN:
        from advisor.inventory.reference import markdown

        streams.write(markdown(), end="")
        return
    from advisor.inventory.json_schema import json_schema

    streams.write(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _of_answers(of: Of) -> Schema:
    if of is Of.ANSWER:
        from advisor.report.schemas.answer import answer_schema

        return answer_schema()
    from advisor.report.schemas.placement import placement_schema

    return placement_schema()
