"""The JSON Schema that editors complete inventories by: it takes what the reader takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli
from hypothesis import given

from advisor.inventory.json_schema import json_schema
from advisor.inventory.reference import markdown
from tests.advisor.inventories import PLAIN, documents

VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_it_is_a_schema_and_the_command_prints_it() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    done = subprocess.run([sys.executable, "-m", "advisor", "schema"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json_schema()


@pytest.mark.parametrize("path", sorted(Path("examples").glob("*.toml")), ids=str)
def test_the_examples_are_valid(path: Path) -> None:
    VALIDATOR.validate(tomli.loads(path.read_text(encoding="utf-8")))


@given(documents())
def test_what_the_reader_takes_is_valid(document: dict[str, Any]) -> None:
    VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("rank = 16", "rnak = 16"),
        PLAIN.replace("rank = 16", "rank = 0"),
        PLAIN.replace("rate = 0.1", "rate = -1"),
        PLAIN.replace("{ mean = 100, std = 90 }", "{ mean = 100 }"),
        PLAIN.replace("{ mean = 100, std = 90 }", "{ p50 = 100 }"),
        PLAIN.replace("{ mean = 100, std = 90 }", "{ p50 = 100, mean = 3 }"),
        "[server]\nmax_lora_rank = 16\n",
    ],
)
def test_what_the_reader_refuses_is_not(text: str) -> None:
    assert not VALIDATOR.is_valid(tomli.loads(text))


def test_the_reference_names_every_key_once_a_table() -> None:
    text = markdown()
    for table, definition in (("[[adapters]]", "Adapter"), ("[[phases]]", "PhaseEntry"), ("[lengths]", "Lengths")):
        part = text.partition(f"### `{table}`")[2].partition("###")[0]
        for name in json_schema()["$defs"][definition]["properties"]:
            assert part.count(f"\n| `{name}` |") == 1, name
