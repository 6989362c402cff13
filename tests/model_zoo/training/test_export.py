"""What leaves the zoo answers as scikit-learn did, bit for bit the same each time, and carries its own nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

from model_zoo.training.boosting import LogOdds
from model_zoo.training.export import INPUT, ensembles_to_onnx, trees_to_onnx

ROOT = Path(__file__).parents[3]
FEATURES = ["rate_mean", "rank_max", "adapters"]
Rows = NDArray[np.float32]


def workloads(seed: int, rows: int = 600) -> tuple[Rows, NDArray[np.float64]]:
    """Rows of three features over several decades and a positive target."""
    generator = np.random.default_rng(seed)
    x = (10 ** generator.uniform(-3, 3, (rows, 3))).astype(np.float32)
    return x, 500 * x[:, 0] ** 0.3 + 20 * np.log1p(x[:, 1]) * (x[:, 2] > 7)


def fit_tree(seed: int, leaves: int = 24) -> DecisionTreeRegressor:
    x, y = workloads(seed)
    return DecisionTreeRegressor(max_leaf_nodes=leaves, random_state=0).fit(x, y)


def exported(tree: DecisionTreeRegressor) -> bytes:
    return trees_to_onnx({"limit": tree}, {"limit": FEATURES})


def at_thresholds(thresholds: NDArray[np.float64], seed: int) -> Rows:
    """Rows whose values lie on a threshold, or on the nearest float32 below or above it."""
    on = thresholds.astype(np.float32)
    beside = [np.nextafter(on, np.float32(side)) for side in (-np.inf, np.inf)]
    return np.random.default_rng(seed).choice(np.concatenate([on, *beside]), (2000, 3))


def walk(nodes: dict[str, list[float]], row: Rows) -> int:
    """The leaf a row ends in, by the metadata alone."""
    node = 0
    while nodes["left"][node] != -1:
        value = row[FEATURES.index(str(nodes["feature"][node]))]
        node = int(nodes["left" if value <= nodes["threshold"][node] else "right"][node])
    return node


def test_a_tree_answers_as_scikit_learn() -> None:
    tree = fit_tree(1)
    session = onnxruntime.InferenceSession(exported(tree))
    for x in (workloads(2)[0], at_thresholds(tree.tree_.threshold[tree.tree_.feature >= 0], 3)):
        (value,) = session.run(["limit"], {INPUT: x})
        np.testing.assert_allclose(value[:, 0], tree.predict(x), rtol=1e-5)


def test_trees_of_more_and_of_fewer_features_share_a_graph() -> None:
    x, y = workloads(1)
    trees = {"slots": fit_tree(1), "limit": DecisionTreeRegressor(max_leaf_nodes=9).fit(x[:, :2], y)}
    session = onnxruntime.InferenceSession(trees_to_onnx(trees, {"slots": FEATURES, "limit": FEATURES[:2]}))
    rows = workloads(2)[0]
    slots, limit = session.run(["slots", "limit"], {INPUT: rows})
    np.testing.assert_allclose(slots[:, 0], trees["slots"].predict(rows), rtol=1e-5)
    np.testing.assert_allclose(limit[:, 0], trees["limit"].predict(rows[:, :2]), rtol=1e-5)
    with pytest.raises(ValueError, match="not the first ones"):
        trees_to_onnx(trees, {"slots": FEATURES, "limit": FEATURES[1:]})


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), leaves=st.integers(2, 60))
def test_the_nodes_in_the_metadata_are_those_of_the_graph(seed: int, leaves: int) -> None:
    tree = fit_tree(seed, leaves)
    session = onnxruntime.InferenceSession(exported(tree))
    nodes = json.loads(session.get_modelmeta().custom_metadata_map["limit"])
    x = np.concatenate([workloads(seed + 1, 50)[0], at_thresholds(np.array(nodes["threshold"]), seed)[:50]])
    (value,) = session.run(["limit"], {INPUT: x})
    walked = [walk(nodes, row) for row in x]
    assert walked == tree.apply(x).tolist()
    assert [nodes["value"][node] for node in walked] == value[:, 0].tolist()
    assert [name for name in nodes["feature"] if name] == [FEATURES[i] for i in tree.tree_.feature if i >= 0]


def test_an_ensemble_answers_as_scikit_learn() -> None:
    x, y = workloads(1, 3000)
    model = HistGradientBoostingRegressor(max_iter=40, max_leaf_nodes=15, random_state=0).fit(x, np.log(y))
    session = onnxruntime.InferenceSession(ensembles_to_onnx({"itl_ms": model}, {"itl_ms": FEATURES}))
    thresholds = np.concatenate(
        [tree.nodes["num_threshold"][~tree.nodes["is_leaf"].astype(bool)] for (tree,) in model._predictors]
    )
    for rows in (workloads(2)[0], at_thresholds(thresholds, 3)):
        (value,) = session.run(["itl_ms"], {INPUT: rows})
        np.testing.assert_allclose(value[:, 0], model.predict(rows), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_bytes_are_the_same_each_time(seed: int) -> None:
    assert exported(fit_tree(seed)) == exported(fit_tree(seed))


@pytest.mark.parametrize("hash_seed", ["1", "4"])
def test_the_bytes_are_the_same_in_every_process(hash_seed: str) -> None:
    """Sets of strings are ordered otherwise in every process; under these two the operator sets were."""
    code = (
        "import sys; from tests.model_zoo.training.test_export import *;sys.stdout.buffer.write(exported(fit_tree(0)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True, timeout=120
    )
    assert done.stdout == exported(fit_tree(0))


def test_a_lone_leaf_is_a_tree_too() -> None:
    x, y = workloads(1)
    tree = DecisionTreeRegressor().fit(x, np.full_like(y, 7.0))
    session = onnxruntime.InferenceSession(exported(tree))
    (value,) = session.run(["limit"], {INPUT: x[:5]})
    assert value[:, 0].tolist() == [7.0] * 5


def test_a_classifier_leaves_as_its_log_odds() -> None:
    x, y = workloads(1, 2000)
    model = LogOdds(HistGradientBoostingClassifier(max_iter=30, random_state=0)).fit(x, y > np.median(y))
    session = onnxruntime.InferenceSession(ensembles_to_onnx({"steady": model}, {"steady": FEATURES}))
    (value,) = session.run(["steady"], {INPUT: workloads(2)[0]})
    np.testing.assert_allclose(value[:, 0], model.predict(workloads(2)[0]), rtol=1e-5, atol=1e-5)


def test_ensembles_in_one_graph_answer_each_for_itself() -> None:
    """Also one that knows only the first of the features."""
    x, y = workloads(1, 2000)
    boosted = HistGradientBoostingRegressor(max_iter=20, random_state=0)
    models = {"itl_ms": clone(boosted).fit(x, y), "ttft_ms": clone(boosted).fit(x[:, :2], y)}
    exported = ensembles_to_onnx(models, {"itl_ms": FEATURES, "ttft_ms": FEATURES[:2]})
    session = onnxruntime.InferenceSession(exported)
    rows = workloads(2)[0]
    itl_ms, ttft_ms = session.run(["itl_ms", "ttft_ms"], {INPUT: rows})
    np.testing.assert_allclose(itl_ms[:, 0], models["itl_ms"].predict(rows), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ttft_ms[:, 0], models["ttft_ms"].predict(rows[:, :2]), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="not the first ones"):
        ensembles_to_onnx(models, {"itl_ms": FEATURES, "ttft_ms": FEATURES[1:]})
