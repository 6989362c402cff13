"""How likely a configuration keeps an objective: a shipped classifier."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Literal

from advisor.manifest import Chance as Entry
from advisor.model import Model
from advisor.pairs import Pair


class Chance:
    """The chance that an hour of serving keeps one objective."""

    def __init__(self, pair: Pair, entry: Entry) -> None:
        """Load the classifier of a manifest's entry.

        Raises:
            InputError: its file is not what was shipped.
        """
        self.required = entry.required
        self._model = Model(pair, entry.file, entry.features)

    def __call__(self, values: Mapping[str, float]) -> float:
        """The chance, 0 to 1."""
        log_odds = self._model.predict(values)
        return 1.0 / (1.0 + math.exp(-log_odds))


@cache
def find(pair: Pair, objective: Literal["steady", "published"]) -> Chance:
    """The chance of a pair for an objective.

    Raises:
        InputError: the pair has not just one, or its file is not what was shipped.
    """
    entries = (entry for entry in pair.manifest.chances if entry.objective == objective)
    return Chance(pair, pair.only(entries, f"chance of {objective}"))
