"""The schema of placements: it takes every placement, names every key that there is, and takes nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.place.algorithms import ALGORITHMS
from advisor.place.changes.previous import read
from advisor.place.placement import Placement
from advisor.place.problem import BaseGpus
from advisor.report.schemas.parts import ALWAYS_MEASURED, FLAGS, MEASURED
from advisor.report.schemas.placement import placement_schema
from advisor.simulation import MEASURES
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from tests.advisor.report.placements import KINDS, Document, base, small, told, traffic
from tests.schemas import closed
from twin.settings import Settings

SCHEMA = placement_schema()
SOMETIMES = {
    *("inventory", "interrupted", "counted", "with_a_tenth_more", "unused", "base", "changes"),
    *("weights", "standby", "base_standby", "missed", "verified", "itl_ms", "from", "max_model_len"),
    *("tensor_parallel_size", "quantization", "kv_cache_dtype", "host_memory", "workers", "limit_gib"),
}
"""Keys that a table may do without."""
ALWAYS = {("with_a_tenth_more", "missed"), ("verified", "missed"), ("verified", "itl_ms"), ("placements", "inventory")}
"""But in these tables."""
UNMEASURED = {*MEASURES} - {*ALWAYS_MEASURED.split()}
"""What the twin may have nothing to tell of."""
NAMED = ("weights",)
"""A table whose keys are names of adapters."""


OPEN, CLOSED = (jsonschema.Draft202012Validator(each) for each in (SCHEMA, closed(SCHEMA)))


def checked(document: Document) -> Document:
    """As it is read from JSON."""
    read_again = json.loads(json.dumps(document, allow_nan=False))
    for validator in (OPEN, CLOSED):
        validator.validate(read_again)
    return read_again  # type: ignore[no-any-return]


def tables(node: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Document]]:
    """All tables of a document, by the names of what they are in; one that may hold several kinds, by its kind."""
    if isinstance(node, dict):
        place = (*place, node["step"]) if "step" in node else place
        yield place, node
        for name, each in node.items():
            yield from tables(each, (*place, name))
    elif isinstance(node, list):
        for each in node:
            yield from tables(each, place)


@pytest.fixture(scope="module")
def documents(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    return {kind.__name__: checked(kind(pair, tmp_path_factory.mktemp("before"))) for kind in KINDS}


def test_every_key_comes_in_some_placement(documents: dict[str, Document]) -> None:
    """Nothing is described that there is not; what there is and is not described, the closed schema has refused."""
    seen = {(*place, name) for each in documents.values() for place, table in tables(each) for name in table}

    def described(node: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        if "$ref" in node:
            node = SCHEMA["$defs"][node["$ref"].rsplit("/", 1)[1]]
        for choice in node.get("oneOf", ()):
            kinds = choice.get("properties", {}).get("step", {}).get("enum", [])
            for where in [(*place, kind) for kind in kinds] or [place]:
                yield from described(choice, where)
        for name, each in node.get("properties", {}).items():
            yield (*place, name)
            yield from described(each, (*place, name))
        if "items" in node:
            yield from described(node["items"], place)

    wanted = {each for each in described(SCHEMA) if each[0] != "placements"}
    assert wanted - seen - {("inventory",)} == set()
    assert ("placements", "inventory") in seen


def keys(node: Any) -> Iterator[tuple[str, Any]]:
    """All keys that a schema describes, each with its own schema."""
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from keys(each)
    if isinstance(node, dict) and isinstance(node.get("properties"), dict):
        yield from node["properties"].items()


def test_every_key_is_described_with_its_unit() -> None:
    units = {"_ms": ", ms", "_tok_s": "tokens/s", "request_rate": "requests/s", "token_rate": "tokens/s"}
    for name, each in keys(SCHEMA):
        assert each.get("description"), name
        for ending, unit in units.items():
            assert unit in each["description"] or not name.endswith(ending), name
    assert {*MEASURED} == {*MEASURES, "missed"}
    assert {*Settings(1, 1, 8, 1, 1, 0.9, 1).flags(2)} <= FLAGS["properties"].keys()


def test_the_command_prints_it() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    command = [sys.executable, "-m", "advisor", "schema", "--of", "placement"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == SCHEMA
    refused = subprocess.run([*command, "--format", "markdown"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1


Change = Callable[[tuple[str, ...], Document, str], Iterator[None]]
"""Changes one key of the table at a place in one way after the other."""


def refused(documents: dict[str, Document], validator: Any, change: Change) -> int:
    """Whether no document is valid in which one key is changed, once for every key at every place; how many those are.

    What was changed is undone before it is changed in another way.
    """
    done, tried = set[tuple[bool | str, ...]](), 0
    for document in deepcopy(documents).values():
        for where, found in [*tables(document)]:
            for name in [*found]:
                if (key := ("placements" in found, *where, "" if where[-1:] == NAMED else name)) in done:
                    continue
                done.add(key)
                kept = dict(found)
                for _ in change(where, found, name):
                    assert not validator.is_valid(document), (key, found)
                    tried += 1
                    found.clear()
                    found.update(kept)
    return tried


def test_without_a_key_it_is_none(documents: dict[str, Document]) -> None:
    def without(place: tuple[str, ...], table: Document, name: str) -> Iterator[None]:
        if place[-1:] != NAMED and ((*place, name)[-2:] in ALWAYS or name not in SOMETIMES):
            del table[name]
            yield

    assert refused(documents, OPEN, without) > 80


def test_with_a_key_of_another_name_it_is_none(documents: dict[str, Document]) -> None:
    """Of keys that may be left out that is for a schema to find which is closed: others may be added."""

    def other(place: tuple[str, ...], table: Document, name: str) -> Iterator[None]:
        if place[-1:] not in (NAMED, ("flags",)):
            table[f"{name}s"] = table.pop(name)
            yield

    assert refused(documents, CLOSED, other) > 100


def test_with_a_value_of_another_type_it_is_none(documents: dict[str, Document]) -> None:
    def wrong(place: tuple[str, ...], table: Document, name: str) -> Iterator[None]:
        was = type(table[name])
        right = {was, float, type(None)} if place[-1:] == ("verified",) and name in UNMEASURED else {was}
        for other in ("no", 0.5, [], [None, None], {"no": []}, None):
            if type(other) not in right or other == [None, None]:
                table[name] = other
                yield

    assert refused(documents, OPEN, wrong) > 400


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_random_placements_are_valid(pair: Pair, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    mix = traffic(data.draw(st.integers(0, 2**32 - 1)), data.draw(st.integers(1, 60)))
    if data.draw(st.booleans()):
        mix = replace(mix, rate=np.where(np.arange(len(mix)) % 3 == 0, 0.0, mix.rate))
    if data.draw(st.booleans()):
        mix = replace(mix, base=base(data.draw(st.sampled_from([0.0, 0.5, 6.0]))))
    problem = small(
        pair,
        mix,
        gpus=data.draw(st.sampled_from([None, None, 2, 4])),
        failures=data.draw(st.sampled_from([0, 1])),
        headroom=data.draw(st.sampled_from([0.0, 0.3])),
        base=data.draw(st.sampled_from([None, *BaseGpus])),
        replicas=data.draw(st.booleans()),
    )
    algorithm = data.draw(st.sampled_from(sorted(ALGORITHMS)))
    before = told(problem, algorithm=algorithm)
    checked(before)
    if before["assignments"]:
        path = tmp_path_factory.mktemp("before") / "before.json"
        path.write_text(json.dumps(before))
        factor = data.draw(st.sampled_from([0.4, 1.0, 1.5]))
        later = replace(problem.inventory, workload=replace(mix, rate=mix.rate * factor))
        checked(told(replace(problem, inventory=later), previous=read(path)))


def test_nobody_on_any_gpu_is_valid() -> None:
    inventory = of(traffic(0, 2))
    checked(Placement((), {0: "no", 1: "no"}, 0, "packing").document(inventory))
