"""The reference of `inventory.toml` for people: a table of keys for each of its parts, out of the schema itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from advisor.inventory.json_schema import json_schema


def markdown() -> str:
    """The tables, in the order in which a file has its parts."""
    schema = json_schema()
    return "\n".join(_part("At the top", schema, schema)).rstrip() + "\n"


def _part(title: str, part: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    tables = list[tuple[str, dict[str, Any]]]()
    yield f"### {title}"
    yield ""
    yield "| key | what it is |"
    yield "|---|---|"
    for name, field in part["properties"].items():
        inner, several = _table(field, schema)
        if inner is not None:
            tables.append((f"`[[{name}]]`" if several else f"`[{name}]`", inner))
            if "anyOf" not in field:
                continue
        needed = " Needed." if name in part.get("required", []) else ""
        default = f" (default: {_toml(field['default'])})" if "default" in field else ""
        yield f"| `{name}` | {field.get('description', '')}{default}.{needed} |"
    yield ""
    for name, inner in tables:
        yield from _part(name, inner, schema)


def _table(field: dict[str, Any], schema: dict[str, Any]) -> tuple[dict[str, Any] | None, bool]:
    """The table that a field holds or may hold, and whether it holds several; None where it is a value."""
    several = field.get("type") == "array"
    choices = [field.get("items", {}) if several else field, *field.get("anyOf", [])]
    reference = next((each["$ref"] for each in choices if "$ref" in each), None)
    if reference is None:
        return None, several
    return schema["$defs"][reference.rpartition("/")[2]], several


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"
