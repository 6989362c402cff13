"""Measured hours of serving as rows for the step model.

Such a run tells how many requests ran and how many tokens came of it, hence what a step took (Little's law). How many
adapters were in the batch and how many were loaded it does not tell: the twin does, which takes the same decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from calibrate.batches import BUSY_BATCH
from calibrate.errors import CalibrationError
from calibrate.regression import significant
from calibrate.replay import CONNECTIONS
from calibrate.runs import Run
from twin.profile import Fit, FrontEnd, Profile
from twin.simulation import Measures, simulate

PREEMPTIONS = 100.0
"""From so many preemptions on a run is left out: what is computed a second time is not in its figures."""
SLOTS_FULL = 0.97
"""Share of the slots in use from which waiting requests are passed over in most steps."""


@dataclass(frozen=True, slots=True)
class Hour:
    """A measured run beside the twin's."""

    run: Run
    twin: Measures

    @property
    def step_ms(self) -> float:
        """What a running request took per output token."""
        return 1e3 * self.run.measured.running / self.run.measured.output_tok_s


def serve(runs: Sequence[Run], profile: Profile) -> list[Hour]:
    """Let the twin repeat the runs that started and in which next to nothing was preempted.

    Raises:
        CalibrationError: there is none.
    """
    usable = [run for run in runs if not run.measured.oom and run.measured.preemptions < PREEMPTIONS]
    if not usable:
        raise CalibrationError("none of the served runs is usable: all ran out of memory or preempted requests")
    return [
        Hour(
            run,
            simulate(
                profile,
                run.server(profile),
                run.workload,
                duration_s=run.duration_s,
                max_connections=CONNECTIONS,
            ),
        )
        for run in usable
    ]


def served_steps(hours: Sequence[Hour], profile: Profile) -> pd.DataFrame:
    """The average step of each hour, columns as in `calibrate.batches`."""
    return pd.DataFrame([_step(hour, profile) for hour in hours])


def _step(hour: Hour, profile: Profile) -> dict[str, float]:
    run, measured, twin = hour.run, hour.run.measured, hour.twin
    scheduling, workload = profile.scheduling, run.workload
    passed_over = measured.waiting if twin.adapters_in_batch_mean > SLOTS_FULL * run.max_loras < run.adapters else 0.0
    pass_ms = (
        scheduling.base_ms + scheduling.per_request_ms * measured.running + scheduling.per_scanned_ms * passed_over
    )
    load_ms = profile.loading.memory_base_ms + profile.loading.memory_per_rank_ms * float(workload.rank.mean())
    answer = float(workload.output_mean[0])
    # Long answers are seen more often than short ones.
    context = float(workload.input_mean[0]) + (answer + float(workload.output_std[0]) ** 2 / answer) / 2
    return {
        "decoding": measured.running,
        "prefill_tokens": measured.input_tok_s * hour.step_ms / 1e3,
        "lora": 1.0,
        "adapters": twin.adapters_in_batch_mean,
        "max_loras": float(run.max_loras),
        "context_tokens": measured.running * context,
        "step": hour.step_ms - pass_ms - load_ms * twin.adapter_loads / twin.steps,
    }


def refine_itl_factor(profile: Profile, hours: Sequence[Hour]) -> tuple[FrontEnd, Fit]:
    """The client's mean ITL / the time a request runs per token: the median of the busy hours."""
    ratios = [hour.run.measured.itl_ms / hour.step_ms for hour in hours if hour.run.measured.running > BUSY_BATCH]
    fit = profile.fits["front_end"]
    if not ratios:
        return profile.front_end, fit
    factor = significant(float(np.median(ratios)))
    note = f"residuals of ttft_ms; itl_factor: median of {len(ratios)} served hours"
    return profile.front_end.model_copy(update={"itl_factor": factor}), fit.model_copy(update={"note": note})
