"""Measured hours of serving as rows for the step model.

Such a run tells how many requests ran and how many tokens came of it, hence what a step took (Little's law). How many
adapters were in the batch and how many were loaded it does not tell: the twin does, which takes the same decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from calibrate.errors import CalibrationError
from calibrate.fit.regression import significant
from calibrate.replay import repeat
from calibrate.runs import MeasuredRun
from twin.engine.simulation import Measures
from twin.profile import Fit, FrontEnd, Profile

IDLE_QUEUE = 1.0
"""Requests waiting on average, below which a queue adds nothing to TTFT."""
MERGING = 5.0
"""Adapters that come and go, from which on an hour tells how many tokens are merged."""
MOST_TEMPO = 1.5
"""By which the served hours as a whole make steps longer or shorter, at most."""


@dataclass(frozen=True, slots=True)
class Hour:
    """A measured run beside the twin's."""

    run: MeasuredRun
    twin: Measures

    @property
    def token_ms(self) -> float:
        """What the engine took per output token of a running request.

        The client's mean ITL, unless the front end merged tokens: then fewer gaps make up the same time, which the
        requests' mean time per token is free of. That in turn is too long where the batch swings.
        """
        return min(self.run.measured.itl_ms, self.run.measured.tpot_ms)

    @property
    def step_ms(self) -> float:
        """Duration of the average step: more tokens are made in long ones, which the twin knows how many there are."""
        return self.token_ms * self.twin.step_ms / self.twin.token_ms


def serve(runs: Sequence[MeasuredRun], profile: Profile) -> list[Hour]:
    """Let the twin repeat the runs that started.

    Raises:
        CalibrationError: there is none.
    """
    return [Hour(run, repeat(run, profile)) for run in _usable(runs)]


def _usable(runs: Sequence[MeasuredRun]) -> list[MeasuredRun]:
    usable = [run for run in runs if not run.measured.oom]
    if not usable:
        raise CalibrationError("none of the served runs is usable: all ran out of memory")
    return usable


def served_steps(hours: Sequence[Hour], profile: Profile) -> pd.DataFrame:
    """The average step of each hour, columns as in `calibrate.fit.batches`."""
    return pd.DataFrame([_step(hour, profile) for hour in hours])


def _step(hour: Hour, profile: Profile) -> dict[str, float]:
    run, measured, twin = hour.run, hour.run.measured, hour.twin
    scheduling, workload = profile.scheduling, run.workload
    decoding = measured.output_tok_s * hour.step_ms / 1e3
    pass_ms = (
        scheduling.base_ms
        + scheduling.per_request_ms * decoding
        + scheduling.per_scanned_ms * twin.scanned_mean
        + scheduling.per_arrival_ms * measured.arrived / run.duration_s * hour.step_ms / 1e3
    )
    load_ms = profile.loading.memory_base_ms + profile.loading.memory_per_rank_ms * float(workload.rank.mean())
    context = mean_context(float(workload.input_mean[0]), float(workload.output_mean[0]), float(workload.output_std[0]))
    return {
        "decoding": decoding,
        # What preemptions make the engine compute again is in no measured figure.
        "prefill_tokens": measured.input_tok_s * hour.step_ms / 1e3 + twin.preemptions * context / twin.steps,
        "eager_tokens": twin.eager_tokens_mean,
        "lora": 1.0,
        "adapters": twin.adapters_in_batch_mean,
        "max_loras": float(run.max_loras),
        "max_lora_rank": float(run.max_lora_rank),
        **asdict(twin.lora_work),
        "context_tokens": decoding * context,
        "step": hour.step_ms - pass_ms - load_ms * twin.adapter_loads / twin.steps,
    }


def mean_context(input_mean: float, output_mean: float, output_std: float) -> float:
    """Tokens of context of a running request: long answers are seen more often than short ones."""
    return input_mean + (output_mean + output_std**2 / output_mean) / 2


def in_tempo(profile: Profile, served: Sequence[MeasuredRun]) -> Profile:
    """The profile with all steps so much longer or shorter that the twin's ITL is the measured one on average.

    Rows of the step model are average steps and say nothing of what errors add up to in a queue; and what else they
    are fitted to was measured in other minutes, perhaps at another clock. For hours whose requests are known one by
    one: with others, the queue would be another one.

    Raises:
        CalibrationError: none of the hours started.
    """
    usable = _usable(served)

    @cache  # the root is sought between ends that were tried before
    def excess(tempo: float) -> float:
        """Mean logarithm of the twin's ITL over the measured one."""
        paced = _paced(profile, tempo)
        return float(np.mean([np.log(repeat(run, paced).itl_ms / run.measured.itl_ms) for run in usable]))

    least, most = 1 / MOST_TEMPO, MOST_TEMPO
    tempo = least if excess(least) > 0 else most if excess(most) < 0 else brentq(excess, least, most, xtol=1e-3)
    fit = profile.fits["step"]
    note = f"{fit.note}; times {tempo:.3f}, for the served hours as a whole"
    fits = profile.fits | {"step": fit.model_copy(update={"note": note})}
    return _paced(profile, tempo).model_copy(update={"fits": fits})


def _paced(profile: Profile, tempo: float) -> Profile:
    """The profile with steps, and the work for a crowd in them, that take so many times as long."""
    step, crowd = profile.step, profile.scheduling.model_dump(include={"per_scanned_ms", "per_arrival_ms"})
    times = {name: significant(tempo * ms) for name, ms in step if name.endswith("_ms")}
    scheduling = profile.scheduling.model_copy(update={name: significant(tempo * ms) for name, ms in crowd.items()})
    return profile.model_copy(update={"step": step.model_copy(update=times), "scheduling": scheduling})


def refine_merging(profile: Profile, hours: Sequence[Hour]) -> tuple[FrontEnd, Fit]:
    """`merged_per_adapter`: the client's mean ITL / the engine's, less 1, over the adapters that come and go.

    The median of the hours in which some do.
    """
    shares = [
        (hour.run.measured.itl_ms / hour.token_ms - 1) / hour.twin.merging_adapters
        for hour in hours
        if hour.twin.merging_adapters > MERGING
    ]
    fit = profile.fits["front_end"]
    if not shares:
        return profile.front_end, fit
    note = f"residuals of ttft_ms; merged_per_adapter: median of {len(shares)} served hours"
    merged = significant(float(np.median(shares)))
    found = {"merged_per_adapter": merged, "stall_every_s": _stall_every_s(profile.front_end, merged, hours)}
    return profile.front_end.model_copy(update=found), fit.model_copy(update={"note": note})


def _stall_every_s(front_end: FrontEnd, merged_per_adapter: float, hours: Sequence[Hour]) -> float:
    """From how much longer than the engine's the client's mean TTFT is in hours in which nothing waits.

    Before a first token are two moments at which the front end may be amid a stall, with the probability m, and then
    holds the request up for m times the interval on average: least squares of the seconds, for the long ones tell most.
    """
    times, excess_s = [], []
    for hour in hours:
        if max(hour.twin.waiting_mean, hour.run.measured.waiting) < IDLE_QUEUE:
            share = merged_per_adapter * hour.twin.coming_and_going
            times.append(2 * (share / (1 + share)) ** 2)
            known_s = times[-1] * front_end.stall_every_s
            excess_s.append((hour.run.measured.ttft_ms - hour.twin.ttft_ms) / 1e3 + known_s)
    if not any(times):
        return front_end.stall_every_s
    return significant(max(float(np.dot(times, excess_s) / np.dot(times, times)), 0.0))
