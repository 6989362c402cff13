"""What the API server and the client add to the engine's times."""

from __future__ import annotations

import numpy as np
import pandas as pd

from calibrate.batches import BUSY_BATCH
from calibrate.errors import CalibrationError
from calibrate.regression import describe, significant
from calibrate.serving import Steps
from twin.profile import Fit, FrontEnd

QUIET_QUEUE = 1.0
"""Waiting requests up to which a run counts as not overloaded."""


def fit_front_end(
    capacity: pd.DataFrame, serving: Steps | None, like: FrontEnd | None, source: str
) -> tuple[FrontEnd, Fit]:
    """The medians of two comparisons.

    `ttft_ms`: TTFT less one step, of a short prompt on an idle server (kv_capacity.csv).
    `itl_factor`: the client's mean ITL / the time a request runs per token (scheduler_steps.csv, busy runs without a
    queue); from `like` where there are no such runs.
    """
    alone = capacity[(capacity["itl_mean_ms"] > 0) & (capacity["ttft_mean_ms"] > 0)]
    if alone.empty:
        raise CalibrationError("kv_capacity.csv: no ttft_mean_ms to fit the front end")
    ttft_ms = significant((alone["ttft_mean_ms"] - alone["itl_mean_ms"]).clip(lower=0).median())
    predicted = alone["itl_mean_ms"] + ttft_ms
    if serving is not None:
        busy = serving.take((serving.batch > BUSY_BATCH) & (serving.waiting < QUIET_QUEUE))
        if not len(busy.itl):
            raise CalibrationError("scheduler_steps.csv: no busy run without a queue to fit the front end")
        factor, note = significant(np.median(busy.itl / busy.in_flight)), f"itl_factor: median of {len(busy.itl)} runs"
    elif like is not None:
        factor, note = like.itl_factor, "itl_factor as in the reference profile"
    else:
        factor, note = 1.0, "itl_factor not measured"
    fit = describe(
        alone["ttft_mean_ms"], predicted, source, f"residuals of ttft_ms; {note}", max_loras=alone["max_loras"]
    )
    return FrontEnd(ttft_ms=ttft_ms, itl_factor=factor), fit
