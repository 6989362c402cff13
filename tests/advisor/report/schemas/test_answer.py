"""The schema of answers: it takes every answer, and names every key that there is."""

from __future__ import annotations

import json
import subprocess
import sys

import jsonschema
import numpy as np
import pytest

from advisor.neighbours import compared
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.report import Format, write
from advisor.report.schemas.answer import answer_schema
from advisor.simulation import verified
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from tests.advisor.recommend.test_situations import SITUATIONS, answer
from tests.advisor.small_zoo import random_mix
from tests.schemas import closed

VALIDATOR = jsonschema.Draft202012Validator(answer_schema())


NAMES = [
    "mostly the base model",
    "a host with little memory",
    "tenants come and go",
    "what runs today has one slot",
    "a base model that leaves nothing",
]


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_valid_and_known(name: str) -> None:
    told = json.loads(write(answer(SITUATIONS[name]), Format.JSON))
    VALIDATOR.validate(told)
    for key in ("host_memory", "admission", "further"):
        of = answer_schema()["properties"][key]
        tables = [told.get(key, {})] if of["type"] == "object" else told.get(key, [])
        known = of.get("properties", of.get("items", {}).get("properties"))
        assert all(table.keys() <= known.keys() for table in tables)


def test_what_the_twin_measured_is_described_and_nothing_else(pair: Pair) -> None:
    inventory, objective = of(random_mix(np.random.default_rng(3), 40)), Objective()
    told = compared(
        verified(recommend(inventory, pair, objective), inventory, pair.profile, objective),
        inventory,
        pair.profile,
        objective,
    )
    document = json.loads(write(told, Format.JSON))
    VALIDATOR.validate(document)
    assert document["verified"]["neighbours"]
    twin = jsonschema.Draft202012Validator(closed(answer_schema()["properties"]["verified"]))
    twin.validate(document["verified"])
    del document["verified"]["missed"]
    assert not twin.is_valid(document["verified"])


def test_the_command_prints_it() -> None:
    jsonschema.Draft202012Validator.check_schema(answer_schema())
    command = [sys.executable, "-m", "advisor", "schema", "--of", "answer"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == answer_schema()
    refused = subprocess.run([*command, "--format", "markdown"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
