"""Converters of gradient boosting to ONNX, as skl2onnx documents them; `model_zoo.training.export` registers them.

A feature is compared as float32 with the largest float32 that is not above the threshold, which decides as a comparison
with the exact threshold does; skl2onnx's own converter rounds to the nearest.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from model_zoo.training.boosting import LogOdds


def round_down(thresholds: Any) -> NDArray[np.float32]:
    """The largest float32 values that are not above these numbers."""
    exact = np.asarray(thresholds, dtype=np.float64)
    nearest = exact.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.asarray(np.where(nearest.astype(np.float64) > exact, below, nearest), dtype=np.float32)


class Trees:
    """The attributes of a TreeEnsembleRegressor, grown tree by tree."""

    def __init__(self) -> None:
        self.attributes: defaultdict[str, list[Any]] = defaultdict(list)
        self._trees = 0

    def add_constant(self, value: float) -> None:
        """Add a tree that is one leaf."""
        self._leaf(self._trees, 0, value)
        self._trees += 1

    def add_tree(self, nodes: NDArray[Any]) -> None:
        """Add a tree of scikit-learn's histogram gradient boosting, by its nodes."""
        for number, node in enumerate(nodes):
            if node["is_leaf"]:
                self._leaf(self._trees, number, float(node["value"]))
            else:
                threshold = float(round_down(node["num_threshold"]))
                children = int(node["left"]), int(node["right"])
                self._node(self._trees, number, "BRANCH_LEQ", int(node["feature_idx"]), threshold, *children)
        self._trees += 1

    def _leaf(self, tree: int, number: int, value: float) -> None:
        self._node(tree, number, "LEAF", 0, 0.0, 0, 0)
        for key, entry in zip(("treeids", "nodeids", "ids", "weights"), (tree, number, 0, value), strict=True):
            self.attributes[f"target_{key}"].append(entry)

    def _node(self, *entries: Any) -> None:
        keys = ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")
        for key, entry in zip(keys, entries, strict=True):
            self.attributes[f"nodes_{key}"].append(entry)


def convert_boosting(scope: Any, operator: Any, container: Any) -> None:
    """Add the node that sums the trees of a boosted model, and the constant that they start from."""
    model = operator.raw_operator
    model = getattr(model, "classifier_", model)
    trees = Trees()
    trees.add_constant(float(np.ravel(model._baseline_prediction)[0]))
    for (tree,) in model._predictors:
        trees.add_tree(tree.nodes)
    container.add_node(
        "TreeEnsembleRegressor",
        operator.input_full_names,
        operator.output_full_names[0],
        op_domain="ai.onnx.ml",
        name=scope.get_unique_operator_name("TreeEnsembleRegressor"),
        n_targets=1,
        aggregate_function="SUM",
        **trees.attributes,
    )


CONVERTERS = {HistGradientBoostingRegressor: convert_boosting, LogOdds: convert_boosting}
"""For every kind of model what writes it; each has one output of shape (rows, 1)."""
