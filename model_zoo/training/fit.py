"""Models of a pair: shallow trees that answer and explain, small ensembles that say what to expect.

A tree learns by which factor the truth differs from what the Profile alone says (`TIMES`), so a few rules go far:
its leaves are plain numbers to be multiplied by that estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

from advisor.zoo.manifest import EnsembleOutput
from model_zoo.campaign.runs import OBJECTIVE_NAMES, STEADY, ObjectiveName, SimulatedRun
from model_zoo.errors import ZooError
from model_zoo.training.admission import (
    best_guess,
    classifier_fit,
    learned,
    out_of_fold,
    required_chance,
)
from model_zoo.training.boosting import LIGHT, Fit, LogOdds, fitted, regressor
from model_zoo.training.dataset import Table, Tables
from model_zoo.training.labels import LoadLimit, SlotChoice

Floats = NDArray[np.float64]
TreeOutput = Literal["load_limit", "max_loras"]
Label = TypeVar("Label")

MAX_LEAVES = 30
"""Rules of a tree, at most."""
MIN_MIXES = 20
"""Mixes that a rule rests on, at least: limits of mixes held out are 8.2 % off with two, 7.5 with ten and with 20."""
TIMES: dict[ObjectiveName, dict[TreeOutput, str]] = {
    "steady": {"load_limit": "steady_load", "max_loras": "estimated_slots"},
    "published": {"load_limit": "saturated_load", "max_loras": "estimated_slots"},
}
"""The feature that a tree's leaves are multiplied by."""
QUANTILES: dict[ObjectiveName, dict[TreeOutput, float]] = {
    "steady": {"load_limit": 0.5, "max_loras": 0.75},
    "published": {"load_limit": 0.5, "max_loras": 0.5},
}
"""Where among its training rows a leaf's answer lies: too few slots cost more than too many.

How much load is safe is not for the tree to say but for the chance of keeping the objective (`admission`).
"""
KEPT = 0.95
"""Share of the steady hours that keep the ITL margin."""
TARGETS: dict[EnsembleOutput, Callable[[SimulatedRun], float]] = {
    "throughput_share": lambda run: max(run.served_share, LEAST_SHARE),
    "itl_ms": attrgetter("measures.itl_ms"),
    "itl_p50_ms": attrgetter("measures.itl_p50_ms"),
    "itl_p95_ms": attrgetter("measures.itl_p95_ms"),
    "itl_p99_ms": attrgetter("measures.itl_p99_ms"),
    "ttft_ms": attrgetter("measures.ttft_ms"),
    "ttft_p50_ms": attrgetter("measures.ttft_p50_ms"),
    "ttft_p95_ms": attrgetter("measures.ttft_p95_ms"),
    "ttft_p99_ms": attrgetter("measures.ttft_p99_ms"),
}
"""What an ensemble predicts of a run."""
LIMITED = tuple(output for output in TARGETS if output not in ("throughput_share", "ttft_ms"))
"""What limits are kept of by a margin; that the mean TTFT keeps its own is for the classifiers to say."""


def scale_of(output: EnsembleOutput) -> str:
    """The feature that a predicted time is a multiple of; of the share of what is served, that is its own matter."""
    return {"itl": "step_time", "ttft": "first_token_time"}.get(output.partition("_")[0], "")


LEAST_SHARE = 1e-4
"""Smaller shares of the offered tokens are taken for this one, which has a logarithm."""


@dataclass(frozen=True, slots=True)
class TimesTree:
    """A decision tree whose answer is its leaf times a feature."""

    tree: DecisionTreeRegressor
    times: str
    features: tuple[str, ...]

    def predict(self, table: Table[Any]) -> Floats:
        """The answers, shape (rows,)."""
        if not table.recipes:
            return np.empty(0)
        return np.asarray(self.tree.predict(table.x), dtype=np.float64) * table.column(self.times)


@dataclass(frozen=True, slots=True)
class Models:
    """All models of a pair."""

    load_limit: dict[ObjectiveName, TimesTree]
    """Most tokens/s of a mix."""
    max_loras: dict[ObjectiveName, TimesTree]
    """Adapter slots."""
    ensembles: dict[EnsembleOutput, HistGradientBoostingRegressor]
    margins: dict[EnsembleOutput, float]
    """Of the ITL and of percentiles: times what is predicted is what 19 of 20 steady hours keep below."""
    classifiers: dict[ObjectiveName, LogOdds]
    """Log-odds that a configuration keeps the objective."""
    required: dict[ObjectiveName, float]
    """How likely it has to be before it is recommended: `published`, as the papers' limit, is a best guess."""
    guess: float
    """How likely a configuration has to be steady for the best guess at N*."""


def fit(tables: Tables, jobs: int = 1) -> Models:
    """Fit all models, by so many processes.

    Raises:
        ZooError: nothing to fit one of them on.
    """
    runs = tables.runs
    load_limit = {each: fit_tree(table, _token_rate, "load_limit", each) for each, table in tables.limits.items()}
    max_loras = {each: fit_tree(table, _best_slots, "max_loras", each) for each, table in tables.slots.items()}
    ended = {each: learned(runs, each) for each in OBJECTIVE_NAMES}
    classifiers = {each: classifier_fit(table) for each, table in ended.items()}
    expecting = {output: ensemble_fit(runs, output) for output in TARGETS}
    models = fitted([*classifiers.values(), *expecting.values()], jobs)  # those that take longest come first
    likely = dict(zip(classifiers, models, strict=False))
    ensembles = dict(zip(expecting, models[len(likely) :], strict=True))
    odds = {each: out_of_fold(table, classifiers[each], jobs) for each, table in ended.items()}
    required: dict[ObjectiveName, float] = {
        "steady": required_chance(ended["steady"], odds["steady"]),
        "published": best_guess(ended["published"], odds["published"]),
    }
    guess = best_guess(ended["steady"], odds["steady"])
    margins = {output: margin(runs, output, jobs) for output in LIMITED}
    return Models(load_limit, max_loras, ensembles, margins, likely, required, guess)


def _token_rate(limit: LoadLimit) -> float:
    return limit.token_rate


def _best_slots(choice: SlotChoice) -> float:
    return choice.best.max_loras


def fit_tree(
    table: Table[Label], target: Callable[[Label], float], output: TreeOutput, name: ObjectiveName
) -> TimesTree:
    """Fit a tree on the logarithm of target / estimate; every leaf then answers with a quantile of its rows."""
    if not table.recipes:
        raise ZooError(f"no mix of the grid tells about {output}; it needs more mixes")
    times = TIMES[name][output]
    ratio = np.log(table.target(target) / table.column(times))
    rows_per_mix = len(ratio) / len({recipe.number for recipe in table.recipes})
    tree = DecisionTreeRegressor(
        max_leaf_nodes=MAX_LEAVES, min_samples_leaf=round(MIN_MIXES * rows_per_mix), random_state=0
    ).fit(table.x, ratio)
    leaves = tree.apply(table.x)
    for leaf in np.unique(leaves):
        factor = np.exp(np.quantile(ratio[leaves == leaf], QUANTILES[name][output]))
        tree.tree_.value[leaf] = float(f"{factor:.4g}")
    return TimesTree(tree, times, table.features)


def ensemble_fit(table: Table[SimulatedRun], output: EnsembleOutput) -> Fit:
    """That of gradient-boosted trees to what `logarithms` says."""
    return Fit(regressor(**_settings(output)), table.x, logarithms(table, output))


def _settings(output: EnsembleOutput) -> dict[str, float]:
    return LIGHT if output.count("_") > 1 else {}


def logarithms(table: Table[SimulatedRun], output: EnsembleOutput) -> Floats:
    """What an ensemble learns, shape (rows,): see `predict`."""
    return np.log(table.target(TARGETS[output]) / _scale(table, output))


def predict(ensemble: HistGradientBoostingRegressor, table: Table[SimulatedRun], output: EnsembleOutput) -> Floats:
    """What an ensemble predicts: a time, ms, or the share served, by its ratio to what is possible in equilibrium."""
    answer = np.exp(ensemble.predict(table.x)) * _scale(table, output)
    return np.minimum(answer, 1.0) if output == "throughput_share" else answer


def _scale(table: Table[SimulatedRun], output: EnsembleOutput) -> Floats:
    if output == "throughput_share":
        return 1.0 / np.maximum(table.column("slots_load_share"), 1.0)
    return table.column(scale_of(output))


def margin(table: Table[SimulatedRun], output: EnsembleOutput, jobs: int = 1) -> float:
    """By how much a time in a steady hour exceeds the out-of-fold prediction, in one hour of 20."""
    true = table.target(TARGETS[output])
    learned = out_of_fold(table, ensemble_fit(table, output), jobs)
    predicted = np.exp(learned) * _scale(table, output)
    steady = np.array([STEADY.met_by(run) for run in table.labels])
    return float(f"{max(np.quantile((true / predicted)[steady], KEPT), 1.0):.3f}") if steady.any() else 1.0
