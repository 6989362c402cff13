"""What the twin predicts for measured runs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from calibrate.errors import CalibrationError
from calibrate.runs import PERCENTILES, MeasuredRun, Outcome
from twin.profile import Profile, load
from twin.progress import watched

if TYPE_CHECKING:
    from twin.engine.simulation import Measures

CONNECTIONS = 27_000
"""Requests in the system at which the load generator of the published runs had no port left for another one."""
IDLE_SAMPLES, IDLE_SAMPLES_REFUSING = 0.03, 0.05
"""Share of the monitor's samples of running requests from before the first and after the last of them.

Little's law tells it: output tokens/s x time per token is more than the mean of the samples, most of all while
connections are refused. Presumably a busy API server answers the monitor late, so that idle samples weigh more. Means
over the hours of optimum_search.csv.
"""


def profiles(pairs: Path, gpu: str, models: Sequence[str]) -> dict[str, Profile]:
    """The profile of each model on `gpu` among `pairs`; names are compared without their punctuation.

    Raises:
        CalibrationError: there is none for one of the models.
    """
    found = {_letters(profile.pair.name): profile for profile in map(load, sorted(pairs.glob("*/profile.toml")))}
    missing = [model for model in models if _letters(f"{model}{gpu}") not in found]
    if missing:
        raise CalibrationError(
            f"{pairs}: no profile of {missing[0]} on {gpu}; fit one, or name the folder with --pairs"
        )
    return {model: found[_letters(f"{model}{gpu}")] for model in models}


def of_pair(profile: Path, runs: Sequence[MeasuredRun]) -> dict[str, Profile]:
    """The profile of one pair for those of the runs that are of its model.

    Raises:
        CalibrationError: none is.
    """
    known = load(profile)
    mine = {run.model for run in runs if same_model(run.model, known.pair.name)}
    if not mine:
        others = ", ".join(sorted({run.model for run in runs}))
        raise CalibrationError(f"{known.pair.name}: none of the runs is of its model; they are of {others}")
    return dict.fromkeys(mine, known)


def replay(
    runs: Sequence[MeasuredRun], profiles: dict[str, Profile], seed: int, jobs: int, *, quiet: bool = False
) -> list[Outcome]:
    """The twin's prediction for each run, on `jobs` processes; `quiet` shows no bar, for there is one around it."""
    with ProcessPoolExecutor(jobs) as pool:
        outcomes = pool.map(outcome, runs, [profiles[run.model] for run in runs], itertools.repeat(seed))
        return list(watched(outcomes, f"seed {seed}", len(runs), quiet=quiet))


def repeat(run: MeasuredRun, profile: Profile, seed: int = 0) -> Measures:
    """The run in the twin: with the very requests where they are known, else with others drawn from `seed`."""
    from twin.engine.simulation import serve, simulate

    server, workload, duration_s = run.server(profile), run.workload, run.duration_s
    if run.requests is None:
        return simulate(profile, server, workload, duration_s=duration_s, seed=seed, max_connections=CONNECTIONS)
    return serve(profile, server, workload, run.requests, duration_s=duration_s, max_connections=CONNECTIONS)


def outcome(run: MeasuredRun, profile: Profile, seed: int = 0) -> Outcome:
    """What the twin predicts for a run, in the terms of what was measured; `seed` as in `repeat`."""
    measures = repeat(run, profile, seed)
    idle = run.idle_samples
    if idle is None:
        idle = IDLE_SAMPLES_REFUSING if measures.dropped else IDLE_SAMPLES
    return Outcome(
        oom=measures.oom,
        offered_tok_s=measures.offered_tok_s,
        throughput_tok_s=measures.throughput_tok_s,
        itl_ms=measures.itl_ms,
        tpot_ms=measures.tpot_ms,
        ttft_ms=measures.ttft_ms,
        ttft_penalised_ms=measures.ttft_penalised_ms,
        **{name: getattr(measures, name) for name in PERCENTILES},
        waiting=measures.waiting_mean,
        preemptions=float(measures.preemptions),
        running=measures.running_mean * (1 - idle),
        arrived=measures.arrivals - measures.refused,
        completed=measures.completed,
        waiting_end=measures.waiting_end,
        wall_s=measures.wall_s,
    )


def same_model(model: str, pair: str) -> bool:
    """Whether a pair is of the model that runs are called by; names are compared without their punctuation."""
    return _letters(model) == _letters(pair.partition("--")[0])


def _letters(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
