"""The shipped ONNX graphs, ready to be asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import onnxruntime
from numpy.typing import NDArray

from advisor.errors import InputError
from advisor.features.vector import vector
from advisor.zoo.manifest import Graph
from advisor.zoo.models import Models


class Model:
    """One shipped ONNX graph, its hash checked; one thread, since a row is too little work for more."""

    def __init__(self, models: Models, graph: Graph) -> None:
        """Load a graph.

        Raises:
            InputError: the file is missing, altered, or not an ONNX model.
        """
        self.path = models.directory / graph.file
        self.features = tuple(graph.features)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # A graph of trees leaves nothing to optimise, which takes time all the same.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        data = models.read(graph.file)
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            (self._input,) = (each.name for each in self._session.get_inputs())
        except Exception as error:  # onnxruntime's errors have no common ancestor but this
            raise InputError(f"{self.path}: not a model that onnxruntime can load: {error}") from error

    @property
    def outputs(self) -> tuple[str, ...]:
        """All that it can be asked for."""
        return tuple(output.name for output in self._session.get_outputs())

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the maker of the file wrote into it."""
        metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        return metadata

    def row(self, values: Mapping[str, float]) -> NDArray[Any]:
        """The features of the model as float32 of shape (1, features)."""
        return vector(dict(values), self.features)

    def ask(self, row: NDArray[Any], *outputs: str) -> list[float]:
        """The named outputs for a row; they are float32.

        Raises:
            InputError: the graph has no such outputs, takes other features, or answers with something else.
        """
        try:
            answers = [float(answer.item()) for answer in self._session.run(outputs, {self._input: row})]
        except Exception as error:  # as above
            raise InputError(f"{self.path}: does not answer as its manifest says: {error}") from error
        if not all(map(math.isfinite, answers)):
            raise InputError(f"{self.path}: answers with what is no number; make the models again")
        return answers


@cache
def load_graph(models: Models, graph: Literal["rules", "serving"]) -> Model:
    """A graph, loaded once, however many pairs its models answer for.

    Raises:
        InputError: its file is missing or not what was shipped.
    """
    return Model(models, getattr(models.manifest, graph))
