"""The JSON Schema of `inventory.toml`, from which editors complete and check it while it is written."""

from __future__ import annotations

from typing import Any

from advisor.inventory.schema import MAX_TOKENS, File

DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSION = 2
"""Raised when a file that was valid no longer is."""
_TOKENS = {"type": "number", "minimum": 1, "maximum": MAX_TOKENS}
_LENGTH = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"mean": _TOKENS, "std": {**_TOKENS, "minimum": 0}},
            "required": ["mean", "std"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "patternProperties": {"^p[1-9][0-9]?$": _TOKENS},
            "minProperties": 2,
            "additionalProperties": False,
        },
    ]
}
"""What pydantic cannot tell of a field that takes either."""


def json_schema() -> dict[str, Any]:
    """The schema; the descriptions complete the sentence "it must be ...", as errors do."""
    made = _plain(File.model_json_schema())
    about = {"$schema": DIALECT, "$id": f"advisor-inventory-{VERSION}", "title": "inventory.toml of advisor"}
    return {**about, **{key: value for key, value in made.items() if key != "title"}}


def _plain(node: Any) -> Any:
    """Without what TOML has no word for (null) and titles that only repeat names; patterns as JSON has them."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: _plain(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if found.get("default", 0) is None or isinstance(found.get("default"), dict | list):
        del found["default"]
    if isinstance(pattern := found.get("pattern"), str):
        found["pattern"] = pattern.replace(r"\z", "$")
    choices = found.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        del found["anyOf"]
        others = [each for each in choices if each != {"type": "null"}]
        one = others[0] or _LENGTH
        found = {**(one if len(others) == 1 else {"anyOf": others}), **found}
    return found
