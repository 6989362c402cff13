"""A trace is the way through the very tree that answered."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.features.vector import measure, vector
from advisor.zoo import pairs
from advisor.zoo.pair import Pair
from advisor.zoo.tree import Condition, Output, load_tree
from tests.advisor.small_zoo import NAME, random_mix

CONDITION = re.compile(r"(\w+) (\S+) (<=|>) (\S+)")
PRODUCT = re.compile(r"(\S+) x (\w+) (\S+)")
FLOAT32 = st.floats(width=32, min_value=0, max_value=2.0**40)


@pytest.fixture(scope="module")
def measured(pair: Pair) -> list[dict[str, float]]:
    """The features of 800 mixes."""
    generator = np.random.default_rng(3)
    return [measure(random_mix(generator), pair.profile, ttft_limit_s=2.0) for _ in range(800)]


@pytest.mark.parametrize("output", ["load_limit", "max_loras"])
@pytest.mark.parametrize("objective", ["steady", "published"])
def test_the_rule_holds_for_the_answer_over_thousands_of_mixes(
    pair: Pair, measured: list[dict[str, float]], objective: Literal["steady", "published"], output: Output
) -> None:
    ours = load_tree(pair.models, objective, output)
    answers = set()
    for values in measured:
        decision = ours(values)
        answers.add(decision.value)
        row = dict(zip(values, vector(values, [*values])[0].tolist(), strict=True))
        (rule,) = (rule for rule in ours.rules if holds(rule.conditions, row))
        factor = values[ours.entry.times] if ours.entry.times else 1.0
        assert rule.value * factor == pytest.approx(decision.value, rel=1e-7)
        conditions, product = decision.rule[: len(rule.conditions)], decision.rule[len(rule.conditions) :]
        assert len(product) == bool(ours.entry.times)
        for text in product:
            found = PRODUCT.fullmatch(text)
            assert found is not None
            assert float(found[1]) * float(found[3]) == pytest.approx(decision.value, rel=1e-4)
        for text in conditions:
            found = CONDITION.fullmatch(text)
            assert found is not None
            feature, value, sign, threshold = found.groups()
            assert float(value) == pytest.approx(values[feature], rel=1e-3)
            assert (float(value) > float(threshold)) == (sign == ">")
    assert len(answers) > 1


def holds(conditions: tuple[Condition, ...], row: dict[str, float]) -> bool:
    return all(condition.holds(row[condition.feature]) for condition in conditions)


@given(FLOAT32, FLOAT32)
def test_value_and_threshold_never_print_equal_unless_they_are(value: float, threshold: float) -> None:
    condition = Condition("x", value > threshold, threshold)
    found = CONDITION.fullmatch(condition.at(value))
    assert found is not None
    assert condition.holds(value)
    assert (found[2] == found[4]) == (value == threshold)
    assert (float(found[2]) > float(found[4])) == (value > threshold)


def test_nodes_that_disagree_with_the_answers_are_refused(zoo: Path, tmp_path: Path) -> None:
    pair = tampered(zoo, tmp_path, lambda nodes: {**nodes, "value": [value + 1 for value in nodes["value"]]})
    values = measure(random_mix(np.random.default_rng(0)), pair.profile, ttft_limit_s=2.0)
    with pytest.raises(InputError, match="its nodes and its answers disagree"):
        load_tree(pair.models, "steady", "load_limit")(values)


LEAVES = {"value": [1.0] * 70, "share": [1.0] * 70, "feature": ["rate_mean"] * 70, "threshold": [1.0] * 70}


@pytest.mark.parametrize(
    "nodes",
    [
        {},
        [],
        {"left": [0], "right": [0], "feature": ["x"], "threshold": [1], "value": [0]},
        {"left": [0], "right": [0], **LEAVES},  # a circle
        {"left": [1, -1, -1], "right": [-2, -1, -1], **LEAVES},  # a way to nowhere
        {"left": [1, -1], "right": [1, -1], **LEAVES},  # two ways to one leaf
        {"left": [*range(1, 70), -1], "right": [*range(1, 70), -1], **LEAVES},  # and 2^69 ways to one
        {"left": [-1], "right": [-1], **LEAVES, "threshold": [10**400]},
        {"left": [-1], "right": [-1], **LEAVES, "threshold": ["x"]},
    ],
)
def test_unreadable_nodes_are_refused(zoo: Path, tmp_path: Path, nodes: dict[str, list[float]]) -> None:
    pair = tampered(zoo, tmp_path, lambda _: nodes)
    with pytest.raises(InputError, match="the nodes of steady_load_limit cannot be read"):
        load_tree(pair.models, "steady", "load_limit")


def tampered(zoo: Path, tmp_path: Path, change) -> Pair:  # type: ignore[no-untyped-def]
    """A copy of the pair with other nodes in a tree's metadata, the manifest's hash made to fit."""
    directory = Path(shutil.copytree(zoo / NAME, tmp_path / NAME))
    path = directory / "rules.onnx"
    old = path.read_bytes()
    model = onnx.load_from_string(old)
    for entry in model.metadata_props:
        if entry.key == "steady_load_limit":
            entry.value = json.dumps(change(json.loads(entry.value)))
    path.write_bytes(model.SerializeToString())
    manifest = (directory / "manifest.json").read_text()
    new = hashlib.sha256(path.read_bytes()).hexdigest()
    (directory / "manifest.json").write_text(manifest.replace(hashlib.sha256(old).hexdigest(), new))
    return pairs.named(NAME, tmp_path)
