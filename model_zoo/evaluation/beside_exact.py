"""What the models give away of mixes held out beside the exact search, in hours of requests that neither has asked.

`evaluation` sets an answer beside the best of one hour, which chance chose. The exact search has its answer hold in
many hours; of what it serves then, an answer that is sure gives nothing away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed

from advisor.exact.bench import UNSEEN, side_by_side
from advisor.inventory.inventory import Inventory
from advisor.report.table import table
from advisor.zoo.pair import Pair
from model_zoo.campaign.campaign import Campaign
from model_zoo.campaign.grid import MAX_ADAPTERS, Recipe
from model_zoo.campaign.runs import Simulator
from model_zoo.evaluation.trials import Pairs
from model_zoo.training.dataset import is_held_out
from twin.progress import watched

TIMES = 2.0
"""Adapters of an inventory, in those that the estimate says one GPU serves."""
ABOUT = (
    f"Mixes held out, answered by the models and by the exact search, each in {len(UNSEEN)} hours that no one asked."
)
"""What the table shows."""
COLUMNS = ["kind", "mixes", "given away %", "median %", "hours missed %", "mixes with such %", "exact: hours missed %"]


class Served(NamedTuple):
    """What one mix got, tokens/s in the mean over the hours, and the share of the hours that miss the objective."""

    kind: str
    models_tok_s: float
    models_missed: float
    exact_tok_s: float
    exact_missed: float

    @property
    def given_away(self) -> float:
        """Of what the exact search serves, or the models where more holds, the share that the models do not."""
        holds = self.models_tok_s if not self.models_missed else 0.0
        return 1.0 - self.models_tok_s / max(self.exact_tok_s, holds)


def beside_exact(campaign: Campaign, pairs: Pairs) -> Iterator[Served]:
    """Every held-out mix of which the exact search has anybody served, in the order in which they are done."""
    recipes = [recipe for recipe in campaign.recipes if is_held_out(recipe)]
    tasks = (delayed(_served)(recipe, pairs.of(recipe), campaign) for recipe in recipes)
    rows = Parallel(n_jobs=campaign.jobs, batch_size=1, return_as="generator_unordered")(tasks)
    for kind, row in watched(rows, "serving mixes held out", len(recipes)):
        if row["exact N"]:
            numbers = (row[f"{who} {what}"] for who in ("models", "exact") for what in ("tok/s", "failed"))
            yield Served(kind, *numbers)


def _served(recipe: Recipe, pair: Pair, campaign: Campaign) -> tuple[str, dict[str, Any]]:
    simulator = Simulator(pair.profile, recipe, duration_s=campaign.grid.duration_s, seed=campaign.seed)
    count = min(max(round(TIMES * simulator.estimated_limit), 2), MAX_ADAPTERS)
    inventory = Inventory.of_workload(recipe.adapters(count), pair.profile.pair)
    with ThreadPoolExecutor(1) as thread:
        return recipe.kind, side_by_side(inventory, pair, thread, fuller=False)


def table_of(served: Sequence[Served]) -> str:
    """By kind of mix: what is given away, and how often the objective is missed, %."""
    kinds = ["all", *dict.fromkeys(sorted(each.kind for each in served))]
    return table([_line(kind, [each for each in served if kind in ("all", each.kind)]) for kind in kinds], COLUMNS)


def _line(kind: str, served: Sequence[Served]) -> dict[str, Any]:
    given = [100 * each.given_away for each in served]
    missed = [each.models_missed for each in served if each.models_tok_s]
    numbers = (
        float(np.mean(given)),
        float(np.median(given)),
        100 * float(np.mean(missed)) if missed else 0.0,
        100 * float(np.mean(np.array(missed) > 0)) if missed else 0.0,
        100 * float(np.mean([each.exact_missed for each in served])),
    )
    return dict(zip(COLUMNS, (kind, len(served), *numbers), strict=True))
