"""The admission classifier: how likely a configuration keeps an objective, and how likely it has to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GroupKFold

from advisor.features.vector import SERVING_FEATURES, STEADY_FEATURES, first_token_share, under_limit
from advisor.recommend.server.room import roomy
from model_zoo.campaign.runs import Objective, ObjectiveName, SimulatedRun, objectives_named, searched
from model_zoo.training.boosting import Fit, LogOdds
from model_zoo.training.dataset import LIMITS_S, Table
from model_zoo.training.labels import load_limit
from twin.accuracy import smape
from twin.progress import watched

Floats = NDArray[np.float64]

FEATURES: dict[ObjectiveName, tuple[str, ...]] = {
    "steady": STEADY_FEATURES,
    "published": SERVING_FEATURES,
}
"""What the chance of keeping an objective depends on."""
MONOTONE: dict[str, int] = {
    "ttft_limit": 1,
    **dict.fromkeys(("load_share", "slots_load_share", "steady_load_share"), -1),
}
"""A laxer limit never makes a steady hour less likely, nor more load likelier."""
DRAWN, NEAR = 3, (-1.0, 1.5)
"""So many limits are drawn for every run, by their logarithm so much below or above the TTFT estimated: three limits of
each mix and three such teach more than six fixed ones (log loss of mixes held out whose prompts take a third of the
limit and more: 0.291, and 0.299), for they are near what decides in every mix."""
FOLDS = 5
TREES: dict[ObjectiveName, dict[str, int]] = {
    "steady": {"max_iter": 200, "max_leaf_nodes": 48},
    "published": {"max_iter": 120, "max_leaf_nodes": 40},
}
"""How many trees a classifier has, and how large they are."""
REQUIRED = (
    0.5,
    0.6,
    0.7,
    0.8,
    0.82,
    0.84,
    0.86,
    0.87,
    0.88,
    0.89,
    0.9,
    0.91,
    0.92,
    0.93,
    0.94,
    0.95,
    0.96,
    0.97,
    0.98,
    0.99,
)
"""Chances that may be required of a recommendation."""
MISSED = 0.035
"""Share of the steady recommendations by out-of-fold predictions that may miss their objective; a twentieth of those
for mixes held out may."""
GUESSES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)
"""Chances that may be required of a best guess."""
EVEN = 0.5
"""That of a guess where nothing tells a better one."""


class Outcome(NamedTuple):
    """A run and whether it met an objective."""

    objective: Objective
    run: SimulatedRun
    met: bool


def outcomes(table: Table[SimulatedRun], name: ObjectiveName) -> Table[Outcome]:
    """Every run once for every objective of this name."""
    return Table.joined([_under(table, name, [objective] * len(table.labels)) for objective in objectives_named(name)])


def learned(table: Table[SimulatedRun], name: ObjectiveName) -> Table[Outcome]:
    """What a classifier learns from: every run once for every objective that its mix is `searched` for and, where there
    is a limit, for `DRAWN` limits near the TTFT that the estimate expects, whatever the mix: there it is decided.
    """
    wanted = {recipe.number: searched(recipe) for recipe in table.recipes}
    parts = [
        _under(part, name, [objective] * len(part.labels))
        for objective in objectives_named(name)
        for part in [table.where(np.array([objective in wanted[each.number] for each in table.recipes], np.bool_))]
    ]
    if name == "steady":
        random = np.random.default_rng(0)
        parts += [_under(table, name, [Objective(name, s) for s in _drawn(table, random)]) for _ in range(DRAWN)]
    return Table.joined(parts)


def _drawn(table: Table[SimulatedRun], random: np.random.Generator) -> list[float]:
    """A limit for every run: near the TTFT estimated for it or, where no limit that is learned is, any."""
    near = table.column("first_token_time") / 1e3 * np.exp(random.uniform(*NEAR, len(table.labels)))
    least, most = LIMITS_S[0], LIMITS_S[-1]
    anywhere = least * (most / least) ** random.uniform(size=len(table.labels))
    return np.where((near > least) & (near < most), near, anywhere).tolist()


def _under(table: Table[SimulatedRun], name: ObjectiveName, objectives: Sequence[Objective]) -> Table[Outcome]:
    """What came of runs, each asked about an objective of its own."""
    limits_s = np.array([objective.ttft_limit_s for objective in objectives])
    values = {each: table.column(each) for each in table.features} | {"ttft_limit": limits_s}
    times = {**under_limit(values, values["ttft_limit"]), "first_token_share": first_token_share(values)}
    further = [times[name] for name in FEATURES[name][len(table.features) :]]
    return Table(
        FEATURES[name],
        np.column_stack([table.x, *further]).astype(np.float32),
        table.recipes,
        tuple(Outcome(each, run, each.met_by(run)) for each, run in zip(objectives, table.labels, strict=True)),
    )


def classifier_fit(table: Table[Outcome]) -> Fit:
    """That of the log-odds that a configuration meets its objective; a tighter limit never makes it likelier.

    It raises a `ZooError` where all met their objective, or none.
    """
    model = LogOdds(
        HistGradientBoostingClassifier(
            **TREES[table.labels[0].objective.name],
            learning_rate=0.12,
            max_features=0.5,  # of those a split may look at: of 57, many say nearly the same
            min_samples_leaf=30,
            l2_regularization=1.0,
            monotonic_cst=[MONOTONE.get(name, 0) for name in table.features],
            early_stopping=False,
            random_state=0,
        )
    )
    return Fit(model, table.x, table.target(lambda outcome: outcome.met))


def out_of_fold(table: Table[Any], fit: Fit, jobs: int = 1) -> Floats:
    """Out-of-fold predictions of a fit to a table, no mix in two folds, shape (rows,); fitted by so many processes.

    Raises:
        ZooError: the model is a `LogOdds`, and what is left is all alike.
    """
    predictions = np.empty(len(fit.y))
    mixes = np.array([recipe.number for recipe in table.recipes])
    folds = list(GroupKFold(min(FOLDS, len(np.unique(mixes)))).split(fit.x, groups=mixes))
    fitted = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(_predicted)(Fit(fit.model, fit.x[rest], fit.y[rest]), fit.x[fold]) for rest, fold in folds
    )
    for (_, fold), predicted in zip(
        folds, watched(fitted, "fitting without some of the mixes", len(folds)), strict=True
    ):
        predictions[fold] = predicted
    return predictions


def _predicted(fit: Fit, x: NDArray[np.float32]) -> Floats:
    return np.asarray(fit.fitted().predict(x), dtype=np.float64)


def required_chance(table: Table[Outcome], odds: Floats) -> float:
    """The smallest chance with which few enough recommendations miss, among the configurations that were run.

    `odds` are of models that have not seen the mixes. Recommended is the largest number of adapters for which some
    slots are likely enough and leave room for chance in the KV cache, with the likeliest slots.
    """
    mixes, odds = rows_of_mixes(table), with_room(table, odds)
    for chance in REQUIRED:
        chosen = [recommended(table, odds, rows, chance) for rows in mixes]
        missed = [not table.labels[i].met for i in chosen if i is not None]
        if not missed or np.mean(missed) <= MISSED:
            return chance
    return REQUIRED[-1]


def best_guess(table: Table[Outcome], odds: Floats) -> float:
    """The chance that brings recommendations, as in `required_chance`, nearest to N* on average.

    It is usually below a half: with N* adapters some slots met the objective, not those that one would have bet on.
    """
    true, mixes = [], []
    for rows in rows_of_mixes(table):
        limit = load_limit([table.labels[i].run for i in rows], table.labels[rows[0]].objective)
        if limit.bounded:
            true.append(limit.adapters)
            mixes.append(rows)
    if not mixes:
        return EVEN

    def error(chance: float) -> float:
        chosen = [recommended(table, odds, rows, chance) for rows in mixes]
        return smape(true, [0 if i is None else table.labels[i].run.adapters for i in chosen])

    return min(GUESSES, key=error)


def with_room(table: Table[Outcome], odds: Floats) -> Floats:
    """The log-odds, without hope for what leaves no room for chance in the KV cache; shape (rows,)."""
    return np.where(roomy(table.column("kv_requests"), table.column("kv_spare")), odds, -np.inf)


def rows_of_mixes(table: Table[Outcome]) -> list[list[int]]:
    """The rows of every mix and each objective that it is searched for: of the others, few are close to the limit."""
    rows: dict[tuple[int, Objective], list[int]] = {}
    for i, (recipe, outcome) in enumerate(zip(table.recipes, table.labels, strict=True)):
        rows.setdefault((recipe.number, outcome.objective), []).append(i)
    return [of_mix for (_, objective), of_mix in rows.items() if objective in searched(table.recipes[of_mix[0]])]


def recommended(table: Table[Outcome], odds: Floats, rows: list[int], chance: float) -> int | None:
    """The row that would be recommended; none where none is likely enough."""
    enough = np.log(chance / (1 - chance))
    likely = (i for i in rows if odds[i] >= enough)
    return max(likely, key=lambda i: (table.labels[i].run.adapters, odds[i]), default=None)
