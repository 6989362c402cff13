"""What the latency models are worth on runs of a kind that they were not fitted to, and what each of their terms is.

Folds: fitted to one table of measured hours and judged on the other, both ways, and each mix by a fit to all others;
the calibration tables are always fitted along. For the terms, each fit between the tables is repeated without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Group
from rich.table import Table

from calibrate.fit.batches import batches
from calibrate.fit.profile import refine
from calibrate.fit.scheduling import is_own
from calibrate.fit.serving import INPUT_TOKENS, average_steps
from calibrate.fit.step import fit_step
from calibrate.fit.tables import Tables, read
from calibrate.replay import replay
from calibrate.runs import MeasuredRun, Outcome, read_runs
from calibrate.validation.scores import EVERY_GROUP, MEASURES, Score, scores
from twin.profile import Profile
from twin.progress import watched

TABLES = ("optimum_search", "serving_runs")
STEP_TERMS = (
    *("per_request", "lora_per_token", "per_split_token", "per_adapter", "per_adapter_shrink", "per_adapter_expand"),
    *("per_slot_shrink", "per_slot_expand", "per_eager_token"),
)
OTHER_TERMS = {
    "per_scanned": ("scheduling", "per_scanned_ms"),
    "scheduling per_request": ("scheduling", "per_request_ms"),
    "memory_base": ("loading", "memory_base_ms"),
    "merged_per_adapter": ("front_end", "merged_per_adapter"),
    "ttft": ("front_end", "ttft_ms"),
}
"""Terms outside the step model: section and field of the profile."""


@dataclass(frozen=True, slots=True)
class Fold:
    """A fit judged on runs that it has not seen, pooled."""

    fitted_on: str
    judged_on: str
    without: str
    """The term left out, empty for the whole model."""
    score: Score


def cross_validate(data: Path, profiles: dict[str, Profile], *, seeds: int, jobs: int) -> list[Fold]:
    """All folds of all models.

    Args:
        data: folder with calibration/ and validation/.
        profiles: of each model; what is not fitted here (memory, loading, scheduling) is taken from them.
        seeds: simulations of each judged run; of the folds without a term there is one.
        jobs: processes.
    """
    tables = {name: read_runs(data / "validation" / f"{name}.csv") for name in TABLES}
    folds = []
    for model, profile in profiles.items():
        runs = {name: [run for run in table if run.model == model] for name, table in tables.items()}
        kinds, first = _calibrated(read(data / "calibration", model), profile)
        folds += _between_tables(kinds, first, runs, seeds, jobs)
        folds.append(_leave_one_mix_out(kinds, first, runs[TABLES[0]] + runs[TABLES[1]], seeds, jobs))
    return folds


def _calibrated(tables: Tables, profile: Profile) -> tuple[dict[str, pd.DataFrame], Profile]:
    """The rows of the calibration tables, and the profile with a step model that knows only these."""
    own = is_own(profile.fits.get("scheduling")) and not tables.serving.empty
    steps = average_steps(tables.serving, INPUT_TOKENS) if own else None
    graph_tokens, budget_tokens = profile.step.graph_tokens, profile.serving.max_num_batched_tokens
    kinds = batches(
        tables, steps, profile.scheduling, profile.loading, graph_tokens=graph_tokens, budget_tokens=budget_tokens
    )
    like = profile.step if steps is None else None
    step = fit_step(kinds, like, profile.fits["step"].source, graph_tokens=graph_tokens).step
    return kinds, profile.model_copy(update={"step": step})


def _between_tables(
    kinds: dict[str, pd.DataFrame], first: Profile, runs: dict[str, list[MeasuredRun]], seeds: int, jobs: int
) -> list[Fold]:
    folds = []
    for fitted_on, judged_on in (TABLES, TABLES[::-1]):
        whole = refine(first, kinds, runs[fitted_on])
        outcomes = _judge(runs[judged_on], whole, seeds, jobs)
        folds.append(Fold(fitted_on, judged_on, "", _pooled(runs[judged_on], outcomes)))
        for term in watched([*STEP_TERMS, *OTHER_TERMS], f"{first.pair.name}, {judged_on}: terms left out"):
            lesser = _refit_without(term, whole, kinds, runs[fitted_on])
            outcomes = _judge(runs[judged_on], lesser, 1, jobs)
            folds.append(Fold(fitted_on, judged_on, term, _pooled(runs[judged_on], outcomes)))
    return folds


def _refit_without(term: str, whole: Profile, kinds: dict[str, pd.DataFrame], served: Sequence[MeasuredRun]) -> Profile:
    """One more round of the fit without a term; the rounds before have found what the batches were."""
    if term in STEP_TERMS:
        return refine(whole, kinds, served, rounds=1, without=(term,))
    section, name = OTHER_TERMS[term]
    zero = {section: getattr(whole, section).model_copy(update={name: 0.0})}
    return refine(whole.model_copy(update=zero), kinds, served, rounds=1).model_copy(update=zero)


def _leave_one_mix_out(
    kinds: dict[str, pd.DataFrame], first: Profile, runs: Sequence[MeasuredRun], seeds: int, jobs: int
) -> Fold:
    mixes = sorted({run.group for run in runs})
    judged: list[MeasuredRun] = []
    outcomes: list[list[Outcome]] = [[] for _ in range(seeds)]
    for mix in watched(mixes, f"{first.pair.name}: mixes left out"):
        fitted = refine(first, kinds, [run for run in runs if run.group != mix])
        left_out = [run for run in runs if run.group == mix]
        judged += left_out
        for seed, predicted in enumerate(_judge(left_out, fitted, seeds, jobs)):
            outcomes[seed] += predicted
    return Fold("all mixes but one", "that one, in turn", "", _pooled(judged, outcomes))


def _judge(runs: Sequence[MeasuredRun], profile: Profile, seeds: int, jobs: int) -> list[list[Outcome]]:
    return [replay(runs, {runs[0].model: profile}, seed, jobs, quiet=True) for seed in range(seeds)]


def _pooled(runs: Sequence[MeasuredRun], outcomes: Sequence[Sequence[Outcome]]) -> Score:
    return next(score for score in scores(runs, outcomes) if score.group == EVERY_GROUP)


def fold_report(folds: Sequence[Fold]) -> Group:
    """The whole models' errors, and by how much each term left out changes them."""
    whole = Table(title="held-out errors in %: SMAPE / MAPE / P95", title_justify="left")
    for name in ("model", "fitted to", "judged on"):
        whole.add_column(name, overflow="fold")
    whole.add_column("runs", justify="right", no_wrap=True)
    for words in MEASURES.values():
        whole.add_column(words, justify="right", no_wrap=True)
    for fold in (fold for fold in folds if not fold.without):
        errors = (f"{each.smape:.2f} / {each.mape:.1f} / {each.p95:.1f}" for each in fold.score.twin.values())
        whole.add_row(fold.score.model, fold.fitted_on, fold.judged_on, str(fold.score.runs), *errors)
    terms = Table(title="held-out SMAPE in % without a term, less that of the whole model", title_justify="left")
    for name in ("model", "judged on", "without"):
        terms.add_column(name, no_wrap=True)
    for words in MEASURES.values():
        terms.add_column(words, justify="right", no_wrap=True)
    base = {(fold.score.model, fold.judged_on): fold.score.twin for fold in folds if not fold.without}
    for fold in (fold for fold in folds if fold.without):
        before = base[fold.score.model, fold.judged_on]
        changes = (f"{errors.smape - before[name].smape:+.2f}" for name, errors in fold.score.twin.items())
        terms.add_row(fold.score.model, fold.judged_on, fold.without, *changes)
    return Group(whole, terms)
