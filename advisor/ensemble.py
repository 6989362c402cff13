"""A shipped regression ensemble: more exact than a tree, without a readable rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Literal

from advisor.manifest import Ensemble as Entry
from advisor.model import Model
from advisor.pairs import Pair


class Ensemble:
    """What a configuration is expected to do in one respect."""

    def __init__(self, pair: Pair, entry: Entry) -> None:
        """Load the ensemble of a manifest's entry.

        Raises:
            InputError: its file is not what was shipped.
        """
        self.output, self.margin = entry.output, entry.margin
        self._model = Model(pair, entry.file, entry.features)

    def __call__(self, values: Mapping[str, float]) -> float:
        """The share of the offered tokens that is served, 0 to 1, or a time in ms."""
        answer = math.exp(self._model.predict(values))
        if self.output == "throughput_share":
            return min(answer / max(values["slots_load_share"], 1.0), 1.0)
        return answer


@cache
def find(pair: Pair, output: Literal["throughput_share", "itl_ms", "ttft_ms"]) -> Ensemble:
    """The ensemble of a pair for an output.

    Raises:
        InputError: the pair has none, or its file is not what was shipped.
    """
    entries = (entry for entry in pair.manifest.ensembles if entry.output == output)
    return Ensemble(pair, pair.only(entries, f"{output} ensemble"))
