"""What `advisor inventory check` finds odd."""

from __future__ import annotations

from typing import Any

from advisor.discovery.portrait import portrait
from advisor.inventory.inventory import parse
from tests.advisor import inventories


def oddities(*adapters: dict[str, Any]) -> tuple[str, ...]:
    lengths = {"input": {"mean": 223, "std": 191}, "output": {"mean": 196, "std": 181}}
    document = {"model": "m", "gpu": "g", "lengths": lengths, "adapters": list(adapters)}
    return portrait(parse(inventories.toml(document))).oddities


def test_two_names_for_one_adapter_are_odd() -> None:
    def row(name: str, source: str) -> dict[str, Any]:
        return {"name": name, "rank": 16, "rate": 0.1, "source": source}

    (told,) = oddities(row("sql", "/a/sql"), row("sql-v2", "/a/sql"), row("legal", "/a/legal"))
    assert told.startswith("sql, sql-v2 are loaded from one place, /a/sql")
    assert not oddities(row("sql", "/a/sql"), row("legal", "/a/legal"))
