"""How close the twin comes to the measured runs, group by group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from calibrate.runs import PERCENTILES, MeasuredRun, Outcome
from twin.accuracy import macro_f1, mape, p95, smape

MEASURES = {
    "throughput_tok_s": "throughput",
    "itl_ms": "ITL",
    "ttft_penalised_ms": "penalised TTFT",
    "running": "running requests",
}
"""Fields of `Outcome` that are compared, and what to call them."""
EVERY_GROUP = "all"


@dataclass(frozen=True, slots=True)
class Errors:
    """In %."""

    smape: float
    mape: float
    p95: float


@dataclass(frozen=True, slots=True)
class Score:
    """One model, one group of runs or all of them; only runs that really started, and did in the twin."""

    model: str
    group: str
    runs: int
    twin: dict[str, Errors]
    """By measure, mean over the seeds."""
    published: dict[str, Errors]
    """The same of the other simulator's figures, where every run has them."""
    starved_f1: float
    """Macro-F1 of `twin.service_level.starved`, mean over the seeds."""
    steady_f1: float
    published_rule_f1: float
    """The same of the papers' rule for starvation."""
    starved_f1_published: float
    """Of the other simulator by that rule."""


@dataclass(frozen=True, slots=True)
class PercentileScore:
    """The percentiles of one model's runs that really started, and did in the twin, and were measured."""

    model: str
    starved: bool
    """Whether of runs that starved, or of the others; a client with no connection left distorts what it measures."""
    runs: int
    twin: dict[str, Errors]
    """By percentile, mean over the seeds."""


@dataclass(frozen=True, slots=True)
class Starts:
    """Runs that ran out of memory at start."""

    failed: int
    predicted: int
    """Of the failed ones."""
    false_alarms: int
    """Started, though the twin predicts they do not."""


def scores(runs: Sequence[MeasuredRun], seeds: Sequence[Sequence[Outcome]]) -> list[Score]:
    """The errors of every model over all its runs, then group by group.

    Args:
        runs: measured.
        seeds: for each seed the twin's outcomes, in the order of `runs`.
    """
    kept = [i for i, run in enumerate(runs) if not run.measured.oom and not seeds[0][i].oom]
    groups = dict.fromkeys((runs[i].model, group) for i in kept for group in (EVERY_GROUP, runs[i].group))
    return [
        _score(
            model,
            group,
            [i for i in kept if runs[i].model == model and group in (EVERY_GROUP, runs[i].group)],
            runs,
            seeds,
        )
        for model, group in sorted(groups, key=lambda key: (key[0], key[1] != EVERY_GROUP, key[1]))
    ]


def percentile_scores(runs: Sequence[MeasuredRun], seeds: Sequence[Sequence[Outcome]]) -> list[PercentileScore]:
    """How near the twin's percentiles are, for every model: of the runs that starve, and of those that do not."""
    told = [i for i, run in enumerate(runs) if not run.measured.oom and not seeds[0][i].oom and _told(run.measured)]
    return [
        PercentileScore(model, starved, len(rows), _percentile_errors(rows, runs, seeds))
        for model in sorted({runs[i].model for i in told})
        for starved in (False, True)
        if (rows := [i for i in told if runs[i].model == model and runs[i].measured.starved == starved])
    ]


def _percentile_errors(
    rows: list[int], runs: Sequence[MeasuredRun], seeds: Sequence[Sequence[Outcome]]
) -> dict[str, Errors]:
    measured = [runs[i].measured for i in rows]
    twins = [[outcomes[i] for i in rows] for outcomes in seeds]
    return {name: _mean_errors([_errors(name, measured, twin) for twin in twins]) for name in PERCENTILES}


def _told(outcome: Outcome) -> bool:
    return all(getattr(outcome, name) > 0 for name in PERCENTILES)


def _score(
    model: str, group: str, rows: list[int], runs: Sequence[MeasuredRun], seeds: Sequence[Sequence[Outcome]]
) -> Score:
    measured = [runs[i].measured for i in rows]
    twins = [[outcomes[i] for i in rows] for outcomes in seeds]
    published = [outcome for i in rows if (outcome := runs[i].published)]
    compared = published if len(published) == len(rows) else []
    return Score(
        model=model,
        group=group,
        runs=len(rows),
        twin={name: _mean_errors([_errors(name, measured, twin) for twin in twins]) for name in MEASURES},
        published={name: _errors(name, measured, compared) for name in MEASURES if compared and name != "running"},
        starved_f1=fmean(_f1(measured, twin, lambda outcome: outcome.starved) for twin in twins),
        steady_f1=fmean(_f1(measured, twin, lambda outcome: outcome.steady()) for twin in twins),
        published_rule_f1=fmean(_f1(measured, twin, _by_the_papers) for twin in twins),
        starved_f1_published=_f1(measured, compared, _by_the_papers) if compared else np.nan,
    )


def starts(runs: Sequence[MeasuredRun], outcomes: Sequence[Outcome]) -> Starts:
    """How well the memory model tells what does not start."""
    both = [(run.measured.oom, outcome.oom) for run, outcome in zip(runs, outcomes, strict=True)]
    return Starts(
        failed=sum(failed for failed, _ in both),
        predicted=sum(failed and predicted for failed, predicted in both),
        false_alarms=sum(predicted and not failed for failed, predicted in both),
    )


def speed(runs: Sequence[MeasuredRun], outcomes: Iterable[Outcome]) -> float:
    """Median over the runs of simulated time / time it took."""
    pairs = zip(runs, outcomes, strict=True)
    return median([run.duration_s / outcome.wall_s for run, outcome in pairs if not outcome.oom] or [np.nan])


def worst(runs: Sequence[MeasuredRun], outcomes: Sequence[Outcome], count: int) -> list[tuple[MeasuredRun, Outcome]]:
    """The `count` runs with the largest relative errors, summed over the measures."""

    def error(pair: tuple[MeasuredRun, Outcome]) -> float:
        run, outcome = pair
        return sum(smape([getattr(run.measured, name)], [getattr(outcome, name)]) for name in MEASURES)

    compared = [pair for pair in zip(runs, outcomes, strict=True) if not pair[0].measured.oom and not pair[1].oom]
    return sorted(compared, key=error, reverse=True)[:count]


def _errors(name: str, measured: Sequence[Outcome], predicted: Sequence[Outcome]) -> Errors:
    true, expected = ([getattr(outcome, name) for outcome in outcomes] for outcomes in (measured, predicted))
    return Errors(smape(true, expected), mape(true, expected), p95(true, expected))


def _mean_errors(errors: list[Errors]) -> Errors:
    return Errors(*(fmean(getattr(error, name) for error in errors) for name in ("smape", "mape", "p95")))


def _by_the_papers(outcome: Outcome) -> bool:
    return outcome.published_starvation


def _f1(measured: Sequence[Outcome], predicted: Sequence[Outcome], rule: Callable[[Outcome], bool]) -> float:
    return macro_f1([rule(outcome) for outcome in measured], [rule(outcome) for outcome in predicted])
