"""The whole comparison of the twin with measured runs, and how to read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Group
from rich.table import Table

from calibrate.replay import replay
from calibrate.runs import PERCENTILES, MeasuredRun, Outcome
from calibrate.validation.baselines import Policy, linear_starts, policies, rate_threshold_f1
from calibrate.validation.scores import (
    MEASURES,
    Errors,
    PercentileScore,
    Score,
    Starts,
    percentile_scores,
    scores,
    speed,
    starts,
    worst,
)
from twin import service_level
from twin.profile import Profile

CIRCUMSTANCES = {"ttft_ms": "TTFT", "waiting": "waiting", "preemptions": "preempted"}
"""Fields of `Outcome` that tell the state a run was in: a queue for want of slots or of anything, KV blocks short."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Everything `validate` finds; NaN where there was nothing to compare."""

    runs: int
    seeds: int
    scores: list[Score]
    percentiles: list[PercentileScore]
    starts: Starts
    speed: float
    """Median of simulated time / time it took."""
    starts_linear: Starts | None
    """By the straight line through the published capacities."""
    rate_threshold_f1: dict[str, float]
    """By model, macro-F1 of one threshold on the offered token rate."""
    policies: list[Policy]
    worst: list[tuple[MeasuredRun, Outcome]]

    def to_json(self) -> str:
        """All but the single runs."""
        found = asdict(self)
        del found["worst"]
        return json.dumps(found, indent=2)


def validate(
    runs: Sequence[MeasuredRun],
    grid: Sequence[MeasuredRun],
    profiles: dict[str, Profile],
    *,
    seeds: int,
    jobs: int,
    worst_runs: int,
) -> Validation:
    """Repeat `runs` in the twin and compare; `grid` is what the rate threshold is chosen on."""
    outcomes = [replay(runs, profiles, seed, jobs) for seed in range(seeds)]
    return Validation(
        runs=len(runs),
        seeds=seeds,
        scores=scores(runs, outcomes),
        percentiles=percentile_scores(runs, outcomes),
        starts=starts(runs, outcomes[0]),
        speed=speed(runs, outcomes[-1]),
        starts_linear=linear_starts(runs, profiles),
        rate_threshold_f1=rate_threshold_f1(grid, runs),
        policies=policies(runs, outcomes[0]),
        worst=worst(runs, outcomes[0], worst_runs),
    )


def scoreboard(found: Validation) -> Group:
    """The comparison as tables."""
    parts = [_errors(found.scores), _classes(found)]
    if found.percentiles:
        parts.append(_percentiles(found.percentiles))
    if found.policies:
        parts.append(_slots(found.policies))
    if found.worst:
        parts.append(_worst(found.worst))
    lines = [
        f"out of memory at start: {_in_words(found.starts)} by the twin"
        + (f"; {_in_words(found.starts_linear)} by a straight line in slots x rank" if found.starts_linear else ""),
        f"speed: {found.speed:,.0f} x real time (median of {found.runs} runs)",
    ]
    return Group(*parts, *lines)


def _errors(scores: list[Score]) -> Table:
    table = Table(title="errors in %: SMAPE / MAPE / P95", title_justify="left")
    for name in ("model", "group", "runs", "measure"):
        table.add_column(name, no_wrap=True)
    for name in ("twin", "published simulator"):
        table.add_column(name, justify="right", no_wrap=True)
    for score in scores:
        for position, (name, words) in enumerate(MEASURES.items()):
            head = (score.model, score.group, str(score.runs)) if position == 0 else ("", "", "")
            published = _triple(score.published[name]) if name in score.published else "-"
            last = position == len(MEASURES) - 1
            table.add_row(*head, words, _triple(score.twin[name]), published, end_section=last)
    return table


def _percentiles(scores: list[PercentileScore]) -> Table:
    table = Table(title="percentiles, errors in %: SMAPE / MAPE", title_justify="left")
    for name in ("model", "hours", "runs"):
        table.add_column(name, no_wrap=True)
    for name in PERCENTILES:
        table.add_column(service_level.words(name), justify="right", no_wrap=True)
    for score in scores:
        hours = "starved" if score.starved else "not starved"
        errors = (score.twin[name] for name in PERCENTILES)
        table.add_row(score.model, hours, str(score.runs), *(f"{each.smape:.1f} / {each.mape:,.0f}" for each in errors))
    return table


def _classes(found: Validation) -> Table:
    table = Table(title="macro-F1", title_justify="left")
    for name in ("model", "group"):
        table.add_column(name, no_wrap=True)
    for name in ("starved", "steady", "by the papers' rule: twin", "published simulator", "one threshold on the rate"):
        table.add_column(name, justify="right")
    for score in found.scores:
        threshold = found.rate_threshold_f1.get(score.model) if score.group == "all" else None
        table.add_row(
            score.model,
            score.group,
            f"{score.starved_f1:.3f}",
            f"{score.steady_f1:.3f}",
            f"{score.published_rule_f1:.3f}",
            f"{score.starved_f1_published:.3f}" if score.published else "-",
            f"{threshold:.3f}" if threshold is not None else "-",
        )
    return table


def _slots(policies: list[Policy]) -> Table:
    table = Table(title="choice of slots: share of the best measured throughput", title_justify="left")
    table.add_column("rule")
    for name in ("choices", "mean", "least", "steady", "of possible"):
        table.add_column(name, justify="right")
    for rule in policies:
        shares = (f"{100 * rule.throughput_mean:.1f} %", f"{100 * rule.throughput_min:.1f} %")
        table.add_row(rule.name, str(rule.choices), *shares, str(rule.steady), str(rule.steady_possible))
    return table


def _worst(pairs: list[tuple[MeasuredRun, Outcome]]) -> Table:
    table = Table(title="worst runs: measured > twin", title_justify="left")
    for words in ("model", "group", "slots", "adapters", *MEASURES.values(), *CIRCUMSTANCES.values()):
        table.add_column(words, overflow="fold")
    for run, outcome in pairs:
        values = (
            f"{_short(getattr(run.measured, name))} > {_short(getattr(outcome, name))}"
            for name in (*MEASURES, *CIRCUMSTANCES)
        )
        table.add_row(run.model, run.group, str(run.max_loras), str(run.adapters), *values)
    return table


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _triple(errors: Errors) -> str:
    return f"{errors.smape:.2f} / {errors.mape:.2f} / {errors.p95:.2f}"


def _in_words(starts: Starts) -> str:
    return f"{starts.predicted} of {starts.failed} predicted, {starts.false_alarms} false alarms"
