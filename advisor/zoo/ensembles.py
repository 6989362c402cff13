"""What serving with given slots is expected to be like: the shipped ensembles, all in one graph and one call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from advisor.zoo import graph as model
from advisor.zoo.pairs import Pair


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the ensembles say of a configuration."""

    share: float
    """Throughput over the offered token rate, 0 to 1."""
    itl_ms: float
    """Mean inter-token latency, ms."""
    ttft_ms: float
    """Mean time to first token, ms."""
    chance: float
    """How likely an hour keeps the objective, 0 to 1."""


class Ensembles:
    """The ensembles of a pair for one objective."""

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
        """Times the ITL expected is what 19 of 20 steady hours keep below."""
        self._outputs = ("throughput_share", "itl_ms", "ttft_ms", objective)
        self._model = model.find(pair, "serving")

    def __call__(self, values: Mapping[str, float]) -> Forecast:
        """What to expect of adapters and slots with these features."""
        share, itl_ms, ttft_ms, log_odds = self._model.ask(self._model.row(values), *self._outputs)
        return Forecast(
            min(math.exp(share) / max(values["slots_load_share"], 1.0), 1.0),
            math.exp(itl_ms),
            math.exp(ttft_ms),
            1.0 / (1.0 + math.exp(-log_odds)),
        )


@cache
def find(pair: Pair, objective: Literal["steady", "published"]) -> Ensembles:
    """The ensembles of a pair for an objective.

    Raises:
        InputError: a file is missing or not what was shipped.
    """
    return Ensembles(pair, objective)
