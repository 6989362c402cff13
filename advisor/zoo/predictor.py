"""Predictions of what serving with given slots is like: the shipped ensembles, all in one graph and one call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from advisor.zoo.graph import load_graph
from advisor.zoo.pairs import Pair

LARGEST = 700.0
"""Beyond it the exponential of a logarithm is no float; no model answers so, but one that is broken."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a configuration is predicted to be like."""

    share: float
    """Throughput over the offered token rate, 0 to 1."""
    itl_ms: float
    """Mean inter-token latency, ms."""
    ttft_ms: float
    """Mean time to first token, ms."""
    chance: float
    """How likely an hour keeps the objective, 0 to 1."""


class Predictor:
    """Predicts for one pair and one objective."""

    def __init__(self, pair: Pair, objective: Literal["steady", "published"]) -> None:
        """Load the graph.

        Raises:
            InputError: its file is not what was shipped, or the manifest lacks an entry.
        """
        manifest = pair.manifest
        chances = (entry for entry in manifest.chances if entry.objective == objective)
        times = (entry for entry in manifest.ensembles if entry.output == "itl_ms")
        self.required = pair.only(chances, f"chance of {objective}").required
        """How likely it has to be that the objective is kept before a configuration is recommended."""
        self.itl_margin = pair.only(times, "itl_ms ensemble").margin
        """Times the predicted ITL is what 19 of 20 steady hours keep below."""
        self._outputs = ("throughput_share", "itl_ms", "ttft_ms", objective)
        self._graph = load_graph(pair, "serving")

    def __call__(self, values: Mapping[str, float]) -> Prediction:
        """The prediction for adapters and slots with these features."""
        share, itl_ms, ttft_ms, log_odds = self._graph.ask(self._graph.row(values), *self._outputs)
        return Prediction(
            min(_exp(share) / max(values["slots_load_share"], 1.0), 1.0),
            _exp(itl_ms),
            _exp(ttft_ms),
            1.0 / (1.0 + _exp(-log_odds)),
        )


def _exp(logarithm: float) -> float:
    """Its exponential, where that is a number that anyone could have trained on."""
    return math.exp(min(logarithm, LARGEST))


@cache
def load_predictor(pair: Pair, objective: Literal["steady", "published"]) -> Predictor:
    """The predictor of a pair for an objective, loaded once.

    Raises:
        InputError: a file is missing or not what was shipped.
    """
    return Predictor(pair, objective)
