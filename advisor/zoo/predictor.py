"""Predictions of what serving with given slots is like: the shipped ensembles, all in one graph and one call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from advisor.zoo.graph import load_graph
from advisor.zoo.models import Models
from twin.service_level import PERCENTS, measure

PERCENTILES = tuple(measure(time, statistic) for time in ("itl", "ttft") for statistic in PERCENTS.values())
"""What is predicted beside the means, by its name among measures."""
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
    percentiles: Mapping[str, float]
    """Percentiles of ITL and TTFT, ms: those of `PERCENTILES`."""


class Predictor:
    """Predicts for one objective."""

    def __init__(self, models: Models, objective: Literal["steady", "published"]) -> None:
        """Load the graph.

        Raises:
            InputError: its file is not what was shipped, or the manifest lacks an entry.
        """
        manifest = models.manifest
        chances = (entry for entry in manifest.chances if entry.objective == objective)
        self.required = models.only(chances, f"chance of {objective}").required
        """How likely it has to be that the objective is kept before a configuration is recommended."""
        self.margins: dict[str, float] = {entry.output: entry.margin for entry in manifest.ensembles}
        """Of each time by its name among measures: times what is predicted is what 19 of 20 steady hours keep below."""
        self._times: dict[str, str] = {entry.output: entry.times for entry in manifest.ensembles}
        self._outputs = ("throughput_share", "itl_ms", "ttft_ms", objective, *PERCENTILES)
        self._graph = load_graph(models, "serving")

    def __call__(self, values: Mapping[str, float]) -> Prediction:
        """The prediction for adapters and slots with these features."""
        share, log_itl, log_ttft, log_odds, *learned = self._graph.ask(self._graph.row(values), *self._outputs)
        scale = {output: values[times] if times else 1.0 for output, times in self._times.items()}
        itl_ms, ttft_ms = scale["itl_ms"] * _exp(log_itl), scale["ttft_ms"] * _exp(log_ttft)
        percentiles = {name: scale[name] * _exp(ratio) for name, ratio in zip(PERCENTILES, learned, strict=True)}
        return Prediction(
            min(_exp(share) / max(values["slots_load_share"], 1.0), 1.0),
            itl_ms,
            ttft_ms,
            1.0 / (1.0 + _exp(-log_odds)),
            _rising(percentiles),
        )


def _rising(times: Mapping[str, float]) -> dict[str, float]:
    """Percentiles, each learned by itself, of which none is below the one before it."""
    found: dict[str, float] = {}
    least = 0.0
    for name, time_ms in times.items():
        least = time_ms if "_p50_" in name else max(least, time_ms)
        found[name] = least
    return found


def _exp(logarithm: float) -> float:
    """Its exponential, where that is a number that anyone could have trained on."""
    return math.exp(min(logarithm, LARGEST))


@cache
def load_predictor(models: Models, objective: Literal["steady", "published"]) -> Predictor:
    """The predictor for an objective, loaded once.

    Raises:
        InputError: a file is missing or not what was shipped.
    """
    return Predictor(models, objective)
