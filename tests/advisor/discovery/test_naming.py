"""One adapter under the names that different places have for it."""

from __future__ import annotations

import pytest

from advisor.discovery.discovery import Adapter, Discovery, Traffic
from advisor.discovery.naming import Names, as_in
from advisor.discovery.toml_file import into


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("sql", "sql"), ("org/sql", "sql"), ("SQL", "sql"), ("legal-0", "org/Legal-0"), ("final", None),
        ("a/final", "a/final"), ("c/final", None), ("other", None),
    ],
)  # fmt: skip
def test_a_name_is_like_one_that_only_the_owner_or_case_tells_apart(name: str, like: str | None) -> None:
    assert Names(["sql", "org/Legal-0", "a/final", "b/final"]).like(name) == like


def found(*names: str) -> Discovery:
    return Discovery(tuple(Adapter(each, traffic=Traffic(rate=float(i + 1))) for i, each in enumerate(names)))


def test_traffic_goes_to_the_adapters_that_an_inventory_has() -> None:
    text = '[[adapters]]\nname = "org/Legal-0"\nrank = 16\n[[adapters]]\nname = "t"\ncount = 2\nrank = 8\n'
    taken = as_in(text, found("legal-0", "T-1", "new"))
    assert [each.name for each in taken.adapters] == ["org/Legal-0", "t-1", "new"]
    assert "org/Legal-0 for legal-0" in taken.notes[-1]
    assert into(text, taken, "i").count("rate = ") == 3


@pytest.mark.parametrize("names", [("legal", "LEGAL"), ("a/legal", "b/legal")])
def test_two_names_are_not_taken_for_one(names: tuple[str, str]) -> None:
    before = found(*names)
    assert as_in('[[adapters]]\nname = "org/legal"\n', before) == before


@pytest.mark.parametrize(
    "text", ["", "adapters = 1", "adapters = [1]", "[[adapters", '[[adapters]]\nname = "org/sql"\ncount = -3']
)
def test_what_is_no_inventory_changes_nothing(text: str) -> None:
    assert as_in(text, found("sql")) == found("sql")
