"""The families of models side by side, for every output: cross-validated by mix, with settings searched by halving.

As in Agulló et al. 2025 (arXiv 2508.08343): five folds, HalvingGridSearchCV on SMAPE. No mix is in a fold's training
and in its test; all families see the same rows.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import RegressorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import make_scorer
from sklearn.model_selection import GroupKFold, HalvingGridSearchCV
from threadpoolctl import threadpool_limits

from advisor.zoo.manifest import EnsembleOutput
from model_zoo.campaign.runs import OBJECTIVE_NAMES
from model_zoo.training.admission import learned
from model_zoo.training.dataset import Table, Tables
from model_zoo.training.families import FAMILIES, FamilyName
from model_zoo.training.fit import TIMES, logarithms
from twin.accuracy import macro_f1
from twin.progress import watched

Floats = NDArray[np.float64]

FOLDS = 5
ROWS = 2000
"""Rows of a table that are looked at, at most."""
MEANS: tuple[EnsembleOutput, ...] = ("throughput_share", "itl_ms", "ttft_ms")
"""Outputs that the families are compared on; percentiles are times like these."""
ABOUT = (
    "Five folds by mix of the training mixes, settings by HalvingGridSearchCV on SMAPE, up to "
    f"{ROWS:,} rows each. SMAPE in %, of a class 100 x (1 - macro-F1); the best in bold. Gradient boosting is shipped "
    "for what a configuration does and for who is steady or starves; the shallow trees multiply an estimate."
)
"""What the table shows."""


@dataclass(frozen=True, slots=True)
class Task:
    """An output as rows to learn from."""

    output: str
    x: NDArray[np.float32]
    y: Floats
    mixes: NDArray[np.int64]
    kind: str
    """"log": y is a logarithm, "class": 0 or 1."""

    def error(self, y: Floats, predicted: Floats) -> float:
        """SMAPE in %, of what y stands for; of a class 100 x (1 - macro-F1)."""
        predicted = np.ravel(predicted)
        if self.kind == "class":
            return 100 * (1 - macro_f1(y > 0.5, predicted > 0.5))
        # |a - b| / (a + b) of the numbers is tanh of half the distance of their logarithms.
        return float(100 * np.mean(np.abs(np.tanh((y - predicted) / 2))))


@dataclass(frozen=True, slots=True)
class Score:
    """How a family did on an output."""

    output: str
    family: FamilyName
    error: float
    """Mean of the folds, as `Task.error`."""
    settings: dict[str, Any]
    fit_s: float
    """What the search took, s."""


def compare(tables: Tables, jobs: int = 1) -> list[Score]:
    """The score of every family on every output, found by so many processes."""
    asked = [delayed(_score)(task, name) for task in tasks(tables) for name in FAMILIES]
    scores = Parallel(n_jobs=jobs, return_as="generator")(asked)
    return list(watched(scores, "comparing families of models", len(asked)))


def tasks(tables: Tables) -> Iterator[Task]:
    """Every output of a pair."""
    for each in OBJECTIVE_NAMES:
        table: Table[Any] = tables.limits[each]
        y = np.log(table.target(lambda fact: fact.token_rate) / table.column(TIMES[each]["load_limit"]))
        yield _task(f"N*, {each}", table, y, "log")
    for each in OBJECTIVE_NAMES:
        table = tables.slots[each]
        y = np.log(table.target(lambda fact: fact.best.max_loras) / table.column(TIMES[each]["max_loras"]))
        yield _task(f"G*, {each}", table, y, "log")
    runs = tables.runs
    for output in MEANS:
        yield _task(output, runs, logarithms(runs, output), "log")
    for each, what in (("steady", "steady or not"), ("published", "starved or not")):
        table = learned(runs, each)
        yield _task(what, table, table.target(lambda outcome: outcome.met), "class")


def _task(output: str, table: Table[Any], y: Floats, kind: str) -> Task:
    rows = np.arange(len(y))
    if len(rows) > ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, ROWS, replace=False))
    mixes = np.array([recipe.number for recipe in table.recipes])
    return Task(output, table.x[rows].astype(np.float32), y[rows], mixes[rows], kind)


def _score(task: Task, name: FamilyName) -> Score:
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of settings that are tried and found bad
        return _searched(task, name)


def _searched(task: Task, name: FamilyName) -> Score:
    family, started = FAMILIES[name], time.perf_counter()
    model, settings = clone(family.model), {}
    if family.grid:
        search = HalvingGridSearchCV(
            model,
            {key: list(values) for key, values in family.grid.items()},
            scoring=make_scorer(task.error, greater_is_better=False),
            cv=GroupKFold(FOLDS),
            min_resources=min(max(len(task.y) // 4, 100), len(task.y)),
            random_state=0,
            refit=False,
        ).fit(task.x, task.y, groups=task.mixes)
        settings = dict(search.best_params_)
        model.set_params(**settings)
    folds = GroupKFold(FOLDS).split(task.x, groups=task.mixes)
    errors = [_error(task, clone(model), train, test) for train, test in folds]
    return Score(task.output, name, float(np.mean(errors)), settings, time.perf_counter() - started)


def _error(task: Task, model: RegressorMixin, train: NDArray[np.int64], test: NDArray[np.int64]) -> float:
    return task.error(task.y[test], model.fit(task.x[train], task.y[train]).predict(task.x[test]))


def table_of(scores: Iterable[Score]) -> str:
    """The scores as a table in Markdown, an output in a row, the best of it in bold."""
    scores = list(scores)
    outputs = list(dict.fromkeys(score.output for score in scores))
    rows = [f"| | {' | '.join(FAMILIES)} |", "|---" * (len(FAMILIES) + 1) + "|"]
    for output in outputs:
        found = {score.family: score.error for score in scores if score.output == output}
        best = min(found, key=found.__getitem__)
        cells = [f"**{found[name]:.2f}**" if name == best else f"{found[name]:.2f}" for name in FAMILIES]
        rows.append(f"| {output} | {' | '.join(cells)} |")
    return "\n".join(rows)
