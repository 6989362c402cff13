"""A shipped ONNX model, ready to be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from advisor.errors import InputError
from advisor.features import vector
from advisor.pairs import Pair


class Model:
    """One ONNX file of a pair, its hash checked; one thread, since a row is too little work for more."""

    def __init__(self, pair: Pair, file: str, features: Sequence[str]) -> None:
        """Load a model.

        Raises:
            InputError: the file is missing, altered, or not an ONNX model.
        """
        self.path = pair.directory / file
        self.features = tuple(features)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        data = pair.read(file)
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common ancestor but this
            raise InputError(f"{self.path}: not a model that onnxruntime can load: {error}") from error
        self._input = self._session.get_inputs()[0].name

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the maker of the file wrote into it."""
        metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        return metadata

    def row(self, values: Mapping[str, float]) -> NDArray[Any]:
        """The features of the model as float32 of shape (1, features)."""
        return vector(dict(values), self.features)

    def ask(self, row: NDArray[Any], *outputs: str) -> list[Any]:
        """The named outputs for a row, as scalars."""
        answers = self._session.run(list(outputs), {self._input: row})
        return [answer.reshape(-1)[0] for answer in answers]
