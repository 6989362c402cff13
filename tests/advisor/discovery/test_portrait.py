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


def row(name: str, rate: float = 0.1, rank: int = 16, **more: Any) -> dict[str, Any]:
    return {"name": name, "rank": rank, "rate": rate, **more}


def test_two_names_for_one_adapter_are_odd() -> None:
    sql, legal = row("sql", source="/a/sql"), row("legal", source="/a/legal")
    (told,) = oddities(sql, row("sql-v2", source="/a/sql"), legal)
    assert told.startswith("sql, sql-v2 are loaded from one place, /a/sql")
    assert not oddities(sql, legal)


def test_what_a_template_leaves_open_is_odd() -> None:
    for name in ("<adapter>", "YOUR_ADAPTER", "TODO", "${LORA}", "change-me"):
        assert f"not filled in: {name}" in oddities(row(name), row("legal"))
    assert not oddities(row("todoist"), row("yours"))


def test_hundreds_of_requests_a_second_of_one_adapter_are_odd() -> None:
    found = oddities(row("sql", 360), row("legal", 360))
    assert any(told.startswith("rate of sql, legal: above 100 a second") for told in found)


def test_figures_fit_a_terminal_and_say_who_is_busiest_where_someone_is() -> None:
    lengths = {"input": {"mean": 223, "std": 191}, "output": {"mean": 196, "std": 181}}

    def told(*adapters: dict[str, Any]) -> str:
        document = {"model": "m", "gpu": "g", "lengths": lengths, "adapters": list(adapters)}
        return portrait(parse(inventories.toml(document))).as_text()

    assert "busiest      none" in told(row("t", count=1500), row("idle", 0))
    some = told(*(row(f"an-adapter-of-a-long-name-{i}", 1000, rank=8 * 2**i) for i in range(4)), row("last", 900))
    assert max(map(len, some.splitlines())) <= 80
    assert "an-adapter-of-a-long-name-0 20%" in some
    assert "4,900 requests/s" in some and "1 for slots of rank 64" in some


def test_how_much_more_the_busiest_minute_brings_is_told() -> None:
    lengths = {"input": {"mean": 223, "std": 191}, "output": {"mean": 196, "std": 181}}
    phases = [{"duration": 43_200, "scale": 0.4}, {"duration": 43_200, "scale": 1.6}]
    document = {"model": "m", "gpu": "g", "lengths": lengths, "adapters": [row("a", 2)], "phases": phases}
    told = portrait(parse(inventories.toml(document))).as_text()
    assert "rates switch over 2 phases: the busiest minute brings 1.6 times the mean" in " ".join(told.split())
    assert "2 requests/s" in told
    document["phases"] = [{"duration": 3600, "scale": 170}]
    assert "switch" not in portrait(parse(inventories.toml(document))).as_text()
