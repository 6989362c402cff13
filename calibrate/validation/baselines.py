"""Baselines: rules of thumb that the twin must beat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from calibrate.runs import MeasuredRun, Outcome
from calibrate.validation.scores import Starts, starts
from twin.accuracy import macro_f1
from twin.profile import Profile

KV_TOKENS = {"llama-3.1-8b-instruct": (307_158, 48), "qwen-2.5-7b-instruct": (702_342, 88)}
"""Model -> KV tokens without slots, and per slot and unit of rank; straight lines through the published capacities."""


def linear_starts(runs: Sequence[MeasuredRun], profiles: dict[str, Profile]) -> Starts | None:
    """Which servers start, by `KV_TOKENS` alone; None where a model is not in it."""
    if any(run.model not in KV_TOKENS for run in runs):
        return None
    predicted = []
    for run in runs:
        base, per_slot_rank = KV_TOKENS[run.model]
        tokens = base - per_slot_rank * run.max_loras * run.max_lora_rank
        predicted.append(Outcome(oom=tokens < profiles[run.model].memory.max_model_len, offered_tok_s=0.0))
    return starts(runs, predicted)


def rate_threshold_f1(grid: Sequence[MeasuredRun], runs: Sequence[MeasuredRun]) -> dict[str, float]:
    """Model -> macro-F1 on `runs` of 'starved above so many offered tokens/s', the threshold chosen on `grid`.

    Starved by the papers' rule, which is such a threshold's own.
    """
    return {
        model: _threshold_f1([run for run in grid if run.model == model], [run for run in runs if run.model == model])
        for model in sorted({run.model for run in grid} & {run.model for run in runs})
    }


def _threshold_f1(grid: list[MeasuredRun], runs: list[MeasuredRun]) -> float:
    def f1(rows: list[MeasuredRun], threshold: float) -> float:
        started = [run.measured for run in rows if not run.measured.oom]
        return macro_f1(
            [outcome.published_starvation for outcome in started],
            [outcome.offered_tok_s > threshold for outcome in started],
        )

    rates = sorted({run.measured.offered_tok_s for run in grid})
    return f1(runs, max(rates, key=lambda rate: f1(grid, rate)))


@dataclass(frozen=True, slots=True)
class Policy:
    """A way to choose the adapter slots, over all (model, group, served adapters) in which it has a measured choice."""

    name: str
    choices: int
    throughput_mean: float
    """Share of the best measured throughput, mean, 0 to 1."""
    throughput_min: float
    steady: int
    """Choices that ran steadily."""
    steady_possible: int
    """Choices where some number of slots did."""


def policies(runs: Sequence[MeasuredRun], outcomes: Sequence[Outcome]) -> list[Policy]:
    """Fixed slots, a slot for every adapter, and the slots at which the twin is steady or else fastest.

    Nothing where no mix was measured with more than one number of slots.
    """
    predicted = {id(run): outcome for run, outcome in zip(runs, outcomes, strict=True)}
    mixes: dict[tuple[str, str, int], list[MeasuredRun]] = defaultdict(list)
    for run in runs:
        if not run.measured.oom:
            mixes[run.model, run.group, run.adapters].append(run)

    def twins_pick(choices: list[MeasuredRun]) -> MeasuredRun:
        return max(choices, key=lambda run: _worth(predicted[id(run)]))

    if all(len({run.max_loras for run in choices}) == 1 for choices in mixes.values()):
        return []
    return [
        _policy("32 slots", mixes, lambda choices: _with_slots(choices, min(32, choices[0].adapters))),
        _policy("a slot per adapter", mixes, lambda choices: _with_slots(choices, choices[0].adapters)),
        _policy("the twin's choice", mixes, twins_pick),
    ]


def _worth(outcome: Outcome) -> tuple[bool, float]:
    """Order of preference: steady first, then throughput, in steps of 1 %, then low ITL."""
    if outcome.oom or np.isnan(outcome.throughput_tok_s):
        return (False, -np.inf)
    return (outcome.steady(), round(100 * np.log(outcome.throughput_tok_s)) - outcome.itl_ms / 1e4)


def _with_slots(choices: list[MeasuredRun], slots: int) -> MeasuredRun | None:
    return next((run for run in choices if run.max_loras == slots), None)


def _policy(
    name: str,
    mixes: dict[tuple[str, str, int], list[MeasuredRun]],
    choose: Callable[[list[MeasuredRun]], MeasuredRun | None],
) -> Policy:
    chosen = [(run, choices) for choices in mixes.values() if (run := choose(choices))]
    shares = [
        run.measured.throughput_tok_s / max(other.measured.throughput_tok_s for other in choices)
        for run, choices in chosen
    ]
    return Policy(
        name=name,
        choices=len(chosen),
        throughput_mean=fmean(shares) if shares else np.nan,
        throughput_min=min(shares, default=np.nan),
        steady=sum(run.measured.steady() for run, _ in chosen),
        steady_possible=sum(any(other.measured.steady() for other in choices) for _, choices in chosen),
    )
