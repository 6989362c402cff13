"""How good the models are on mixes they have not seen, beside what one would do without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.zoo.manifest import EnsembleOutput
from model_zoo.campaign.grid import KINDS, Kind, Recipe
from model_zoo.campaign.runs import STEADY, ObjectiveName, SimulatedRun
from model_zoo.training.admission import outcomes
from model_zoo.training.boosting import regressor
from model_zoo.training.dataset import Table
from model_zoo.training.fit import TARGETS, Models, TimesTree, predict
from model_zoo.training.labels import LoadLimit
from twin.accuracy import macro_f1, mape, p95, smape
from twin.service_level import words

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


NAMES: dict[Kind, str] = {kind: f"{kind} mixes" for kind in KINDS} | {"papers": "mixes of the papers' kind"}
"""Kinds of mixes, as a report calls them."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a report: what was predicted and how, of how many cases, and how far off it was."""

    what: str
    cases: int
    errors: dict[str, float]


def judge_limits(table: Table[LoadLimit], train: Table[LoadLimit], tree: TimesTree, most: int) -> list[Line]:
    """N* by kind of mix; beside it boosted trees, the Profile's estimate alone and one threshold on the total rate.

    `most` is the number of adapters above which none are admitted.
    """
    true, predicted = table.target(lambda limit: limit.adapters), tree.predict(table)
    usual = table.column("ttft_limit") == STEADY.ttft_limit_s
    threshold = float(np.median(train.target(lambda limit: limit.token_rate)))

    def line(what: str, rows: Bools, load_limit: Floats) -> Line:
        of_adapters = load_limit * (1 - table.column("base_share"))
        adapters = np.clip(np.floor(of_adapters / table.column("token_rate_mean")), 1, most)
        return Line(what, int(rows.sum()), relative_errors(true[rows], adapters[rows]))

    return [
        line("all TTFT limits", np.full_like(usual, True), predicted),
        line(f"TTFT limit {STEADY.ttft_limit_s:g} s", usual, predicted),
        *(line(f"… {name}", usual & of_kind(table.recipes, kind), predicted) for kind, name in NAMES.items()),
        line("… by gradient boosting in place of the rules", usual, _boosted(train, tree.times, table)),
        line("… by the Profile's estimate alone", usual, table.column("estimated_load")),
        line("… by one threshold on the total rate", usual, np.full(len(true), threshold)),
    ]


def _boosted(train: Table[LoadLimit], times: str, table: Table[LoadLimit]) -> Floats:
    """Load limits by the family of models that is best at them, which learns the same as the tree."""
    ratio = np.log(train.target(lambda limit: limit.token_rate) / train.column(times))
    return (
        np.exp(regressor().fit(train.x, ratio).predict(table.x)) * table.column(times) if len(table.x) else np.empty(0)
    )


def judge_serving(table: Table[SimulatedRun], train: Table[SimulatedRun], models: Models) -> list[Line]:
    """Throughput, ITL, TTFT, who is steady and who starves; beside it one threshold on the total rate."""
    predicted = {output: predict(models.ensembles[output], table, output) for output in TARGETS}
    share = predicted.pop("throughput_share")
    offered = table.column("token_rate")
    served = table.target(lambda run: run.served_share) * offered
    some = served > 0

    def throughput(what: str, rows: Bools) -> Line:
        return Line(what, int(rows.sum()), relative_errors(served[rows], (share * offered)[rows]))

    def time(output: EnsembleOutput, what: str, rows: Bools) -> Line:
        true = table.target(TARGETS[output])
        return Line(what, int(rows.sum()), relative_errors(true[rows], predicted[output][rows]))

    steady = np.array([STEADY.met_by(run) for run in table.labels], dtype=np.bool_)
    return [
        throughput("throughput", some),
        *(time(output, words(output), np.full_like(some, True)) for output in predicted),
        _classified("steady or not, all TTFT limits", table, models, "steady"),
        _classified("starved or not", table, models, "published"),
        Line(
            "starved, by one threshold on the total rate",
            len(share),
            {"macro_f1": macro_f1(_starved(table), offered > _best_threshold(train))},
        ),
        throughput("throughput, steady hours", some & steady),
        time("itl_ms", "ITL, steady hours", steady),
        time("ttft_ms", "TTFT, steady hours", steady),
        *(
            line
            for kind, rows in _by_kind(table.recipes).items()
            for line in (
                throughput(f"throughput, {kind}", some & rows),
                _classified(f"steady or not, {kind}", table.where(rows), models, "steady"),
                _classified(f"starved or not, {kind}", table.where(rows), models, "published"),
            )
        ),
    ]


def _classified(what: str, table: Table[SimulatedRun], models: Models, name: ObjectiveName) -> Line:
    """Who keeps an objective, by the likelier of the two."""
    rows = outcomes(table, name)
    if not rows.labels:
        return Line(what, 0, {})
    met = rows.target(lambda outcome: outcome.met) > 0
    return Line(what, len(met), {"macro_f1": macro_f1(met, models.classifiers[name].predict(rows.x) > 0)})


def relative_errors(true: Floats, predicted: Floats) -> dict[str, float]:
    """SMAPE, MAPE and P95 of the relative error, in %; nothing where there are no cases."""
    if not len(true):
        return {}
    return {
        "smape_percent": smape(true, predicted),
        "mape_percent": mape(true, predicted),
        "p95_percent": p95(true, predicted),
    }


def _best_threshold(table: Table[SimulatedRun]) -> float:
    """The total token rate that best tells starved runs from others."""
    offered, starved = table.column("token_rate"), _starved(table)
    candidates = np.quantile(offered, np.linspace(0.02, 0.98, 97))
    return float(max(candidates, key=lambda candidate: macro_f1(starved, offered > candidate)))


def _starved(table: Table[SimulatedRun]) -> Bools:
    return np.array([run.starved for run in table.labels])


def _by_kind(recipes: Sequence[Recipe]) -> dict[str, Bools]:
    """The rows of each kind of mix, by its name; nothing where there is only one."""
    kinds = {recipe.kind for recipe in recipes}
    return {name: of_kind(recipes, kind) for kind, name in NAMES.items() if len(kinds) > 1}


def of_kind(recipes: Sequence[Recipe], kind: Kind) -> Bools:
    """Which of the mixes are of one kind."""
    return np.array([recipe.kind == kind for recipe in recipes], dtype=np.bool_)
