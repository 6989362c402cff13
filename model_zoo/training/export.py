"""Fitted scikit-learn models as ONNX bytes, the same bytes for the same model.

A decision tree carries its own nodes in the file's metadata, read back from the graph that answers, so that whoever
explains an answer walks the numbers that were compared and no others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto
from onnx.helper import get_attribute_value
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes
from sklearn.base import RegressorMixin
from sklearn.tree import DecisionTreeRegressor

from model_zoo.training.onnx_converters import CONVERTERS

INPUT = "features"
"""Name of the only input, float32 of shape (rows, features)."""
OUTPUT = "variable"
"""Name of the prediction, float32 of shape (rows, 1)."""
OPSETS = {"": 18, "ai.onnx.ml": 3}
"""Operator sets written: old enough for every onnxruntime the advisor accepts."""


def trees_to_onnx(trees: Mapping[str, DecisionTreeRegressor], features: Mapping[str, Sequence[str]]) -> bytes:
    """Decision trees in one graph (see `ensembles_to_onnx`) that carries the nodes of each in its metadata.

    Under a tree's name is JSON `{"left", "right", "feature", "threshold", "value", "share"}`, one entry per node in
    scikit-learn's order: a node sends rows with `feature <= threshold` to `left`, the others to `right`; a leaf has
    -1, -1, "" and 0. `value` is a leaf's answer and 0 elsewhere, `share` that of the training rows that came by.
    """
    models = {name: _convert(tree, features[name]) for name, tree in trees.items()}
    whole = _side_by_side(models, features)
    for name, model in models.items():
        (answering,) = model.graph.node
        rows = trees[name].tree_.n_node_samples
        shares = [round(float(count), 4) for count in rows / rows[0]]
        nodes = {**_nodes(answering, features[name]), "share": shares}
        whole.metadata_props.add(key=name, value=json.dumps(nodes, separators=(",", ":")))
    return _to_bytes(whole)


def ensembles_to_onnx(ensembles: Mapping[str, RegressorMixin], features: Mapping[str, Sequence[str]]) -> bytes:
    """Ensembles of trees side by side in one graph, each with an output of its name.

    Their `features` are the first ones of the longest, which are the input. One graph, since a call costs more than
    the trees that it walks.
    """
    models = {output: _convert(ensemble, features[output]) for output, ensemble in ensembles.items()}
    return _to_bytes(_side_by_side(models, features))


def _side_by_side(models: Mapping[str, ModelProto], features: Mapping[str, Sequence[str]]) -> ModelProto:
    longest = max(features, key=lambda output: len(features[output]))
    names = features[longest]
    whole = deepcopy(models[longest])
    del whole.graph.node[:], whole.graph.output[:], whole.graph.initializer[:]
    for output, model in models.items():
        if features[output] != names[: len(features[output])]:
            raise ValueError(f"{output}: its features are not the first ones of {', '.join(names)}")
        graph = deepcopy(model.graph)
        for node in graph.node:
            node.name = f"{output}/{node.name}"
            node.input[:] = [_within(output, name) for name in node.input]
            node.output[:] = [_within(output, name) for name in node.output]
        for constant in graph.initializer:
            constant.name = _within(output, constant.name)
        graph.output[0].name = output
        whole.graph.node.extend(graph.node)
        whole.graph.initializer.extend(graph.initializer)
        whole.graph.output.extend(graph.output)
    return whole


def _within(output: str, name: str) -> str:
    """The name of a tensor of an ensemble in the graph of all."""
    return {INPUT: INPUT, OUTPUT: output}.get(name, f"{output}/{name}")


def _convert(estimator: RegressorMixin, features: Sequence[str]) -> ModelProto:
    row = np.zeros((1, len(features)), dtype=np.float32)
    model = to_onnx(estimator, row, name="model", target_opset=OPSETS)
    (old,) = (graph_input.name for graph_input in model.graph.input)
    model.graph.input[0].name = INPUT
    for node in model.graph.node:
        node.input[:] = [INPUT if name == old else name for name in node.input]
    model.metadata_props.add(key="features", value=json.dumps(list(features)))
    return model


def _nodes(node: NodeProto, features: Sequence[str]) -> dict[str, list[Any]]:
    """The nodes of a TreeEnsembleRegressor with one tree, in the order of their numbers."""
    graph = {attribute.name: get_attribute_value(attribute) for attribute in node.attribute}
    leaf = [mode == b"LEAF" for mode in graph["nodes_modes"]]
    if list(graph["nodes_nodeids"]) != list(range(len(leaf))):
        raise ValueError("the converter numbered the nodes of the tree in another order than scikit-learn")
    answer = dict(zip(graph["target_nodeids"], graph["target_weights"], strict=True))
    return {
        "left": [-1 if end else child for end, child in zip(leaf, graph["nodes_truenodeids"], strict=True)],
        "right": [-1 if end else child for end, child in zip(leaf, graph["nodes_falsenodeids"], strict=True)],
        "feature": ["" if end else features[i] for end, i in zip(leaf, graph["nodes_featureids"], strict=True)],
        "threshold": [0.0 if end else float(x) for end, x in zip(leaf, graph["nodes_values"], strict=True)],
        "value": [float(answer.get(i, 0.0)) for i in range(len(leaf))],
    }


def _to_bytes(model: ModelProto) -> bytes:
    model.producer_name, model.producer_version, model.doc_string = "model_zoo", "", ""
    model.opset_import.sort(key=lambda opset: opset.domain)  # a set's order until now, another in every process
    return bytes(model.SerializeToString(deterministic=True))


for _model, _converter in CONVERTERS.items():
    update_registered_converter(
        _model, f"Zoo{_model.__name__}", calculate_linear_regressor_output_shapes, _converter, overwrite=True
    )
