"""Sums of trees as ONNX, by converters as skl2onnx documents them; `model_zoo.export` registers them.

FIGS and gradient boosting are such sums outright, RuleFit because a rule is a tree that turns off at every condition,
beside a linear part. A feature is compared as float32 with the largest float32 that is not above the threshold, which
decides as a comparison with the exact threshold does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from imodels import RuleFitRegressor
from numpy.typing import NDArray
from onnx import TensorProto
from sklearn.ensemble import HistGradientBoostingRegressor

from model_zoo.families import LogOdds, SteadyFigs

LEAF, UP_TO = "LEAF", "BRANCH_LEQ"


def round_down(thresholds: Any) -> NDArray[np.float32]:
    """The largest float32 values that are not above these numbers."""
    exact = np.asarray(thresholds, dtype=np.float64)
    nearest = exact.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.asarray(np.where(nearest.astype(np.float64) > exact, below, nearest), dtype=np.float32)


class Trees:
    """The attributes of a TreeEnsembleRegressor, grown node by node."""

    def __init__(self) -> None:
        self.attributes: defaultdict[str, list[Any]] = defaultdict(list)
        self._trees = 0

    def add_tree(self, root: Any) -> None:
        """Add a tree of FIGS."""
        tree, nodes = self._trees, [root]
        self._trees += 1
        # A node's children are numbered when it is visited, so numbers are places in `nodes`.
        for number, node in enumerate(nodes):
            if node.left is None:
                self._leaf((tree, number), float(np.ravel(node.value)[0]))
                continue
            children = len(nodes), len(nodes) + 1
            nodes += [node.left, node.right]
            self._branch((tree, number), int(node.feature), float(round_down(node.threshold)), children)

    def add_rule(self, conditions: Iterable[tuple[int, bool, float]], weight: float) -> None:
        """Add a rule: its weight where all conditions (feature, whether above, threshold) hold, else 0."""
        tree, number = self._trees, 0
        self._trees += 1
        for feature, above, threshold in conditions:
            on, off = number + 2, number + 1
            self._branch((tree, number), feature, threshold, (off, on) if above else (on, off))
            self._leaf((tree, off), 0.0)
            number = on
        self._leaf((tree, number), weight)

    def add_boosted(self, nodes: NDArray[Any]) -> None:
        """Add a tree of scikit-learn's histogram gradient boosting."""
        tree = self._trees
        self._trees += 1
        for number, node in enumerate(nodes):
            if node["is_leaf"]:
                self._leaf((tree, number), float(node["value"]))
            else:
                children = int(node["left"]), int(node["right"])
                threshold = float(round_down(node["num_threshold"]))
                self._branch((tree, number), int(node["feature_idx"]), threshold, children)

    def _branch(self, place: tuple[int, int], feature: int, threshold: float, children: tuple[int, int]) -> None:
        """A node that sends rows with `feature` up to `threshold` to the first of its children."""
        self._node(place, UP_TO, feature, threshold, children)

    def _leaf(self, place: tuple[int, int], value: float) -> None:
        self._node(place, LEAF, 0, 0.0, (0, 0))
        for key, entry in zip(("treeids", "nodeids", "ids", "weights"), (*place, 0, value), strict=True):
            self.attributes[f"target_{key}"].append(entry)

    def _node(
        self, place: tuple[int, int], mode: str, feature: int, threshold: float, children: tuple[int, int]
    ) -> None:
        keys = ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")
        for key, entry in zip(keys, (*place, mode, feature, threshold, *children), strict=True):
            self.attributes[f"nodes_{key}"].append(entry)

    def write(self, scope: Any, operator: Any, container: Any, output: str) -> None:
        """Add the node that sums the trees."""
        container.add_node(
            "TreeEnsembleRegressor",
            operator.input_full_names,
            output,
            op_domain="ai.onnx.ml",
            name=scope.get_unique_operator_name("TreeEnsembleRegressor"),
            n_targets=1,
            aggregate_function="SUM",
            **self.attributes,
        )


def _convert_figs(scope: Any, operator: Any, container: Any) -> None:
    trees = Trees()
    for root in operator.raw_operator.trees_:
        trees.add_tree(root)
    trees.write(scope, operator, container, operator.output_full_names[0])


def _convert_rulefit(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    place = {name: i for i, name in enumerate(model.feature_placeholders)}
    trees = Trees()
    trees.add_rule((), float(model.intercept))
    for rule in model.rules_without_feature_names_:
        # pandas, which imodels asks, compares float32 with the threshold rounded to the nearest float32.
        conditions = [
            (place[feature], sign == ">", float(np.float32(value))) for (feature, sign), value in rule.agg_dict.items()
        ]
        trees.add_rule(conditions, float(rule.args[0]))
    summed = scope.get_unique_variable_name("rules")
    trees.write(scope, operator, container, summed)

    # The linear part in float64, as imodels has it: winsorised features times their scale times their weight.
    def constant(name: str, values: Any, shape: list[int]) -> str:
        unique: str = scope.get_unique_variable_name(name)
        container.add_initializer(unique, TensorProto.DOUBLE, shape, np.ravel(values).astype(float).tolist())
        return unique

    def node(kind: str, inputs: list[str], **attributes: Any) -> str:
        unique: str = scope.get_unique_variable_name(kind.lower())
        container.add_node(kind, inputs, unique, name=scope.get_unique_operator_name(kind), op_version=13, **attributes)
        return unique

    features = model.n_features_
    low, high = model.winsorizer.winsor_lims
    weights = np.asarray(model.coef[:features]) * model.friedscale.scale_multipliers
    exact = node("Cast", [operator.input_full_names[0]], to=TensorProto.DOUBLE)
    trimmed = node("Max", [node("Min", [exact, constant("high", high, [features])]), constant("low", low, [features])])
    linear = node("MatMul", [trimmed, constant("weights", weights, [features, 1])])
    total = node("Add", [linear, node("Cast", [summed], to=TensorProto.DOUBLE)])
    container.add_node(
        "Cast",
        [total],
        operator.output_full_names[0],
        name=scope.get_unique_operator_name("Cast"),
        op_version=13,
        to=TensorProto.FLOAT,
    )


def _convert_boosting(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    model = getattr(model, "classifier_", model)
    trees = Trees()
    trees.add_rule((), float(np.ravel(model._baseline_prediction)[0]))
    for (tree,) in model._predictors:
        trees.add_boosted(tree.nodes)
    trees.write(scope, operator, container, operator.output_full_names[0])


CONVERTERS = {
    SteadyFigs: _convert_figs,
    RuleFitRegressor: _convert_rulefit,
    HistGradientBoostingRegressor: _convert_boosting,
    LogOdds: _convert_boosting,
}
"""For every kind of model what writes it; each has one output of shape (rows, 1)."""
