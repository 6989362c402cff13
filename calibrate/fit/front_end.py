"""What the API server and the client add to the engine's times."""

from __future__ import annotations

import pandas as pd

from calibrate.errors import CalibrationError
from calibrate.fit.regression import describe, significant
from twin.profile import Fit, FrontEnd

MERGE_REQUESTS = 128
"""vLLM's VLLM_V1_OUTPUT_PROC_CHUNK_SIZE."""


def fit_front_end(
    capacity: pd.DataFrame, per_arrival_ms: float, like: FrontEnd | None, source: str
) -> tuple[FrontEnd, Fit]:
    """`ttft_ms`: the median of TTFT less one step, of a short prompt on an idle server (kv_capacity.csv).

    `per_arrival_ms` as in `twin.profile.Scheduling`: this part of it holds up the step.

    `merged_per_adapter` is in no table, only in hours of serving (`calibrate.fit.served`); until then it is that of
    `like`, or 0.
    """
    alone = capacity[(capacity["itl_mean_ms"] > 0) & (capacity["ttft_mean_ms"] > 0)]
    if alone.empty:
        raise CalibrationError("kv_capacity.csv: no ttft_mean_ms to fit the front end")
    beyond = alone["ttft_mean_ms"] - alone["itl_mean_ms"] - per_arrival_ms
    ttft_ms = significant(beyond.clip(lower=0).median())
    front_end = FrontEnd(
        ttft_ms=ttft_ms,
        merged_per_adapter=like.merged_per_adapter if like else 0.0,
        merge_requests=MERGE_REQUESTS,
    )
    note = f"residuals of ttft_ms; merged_per_adapter {'as in the reference profile' if like else 'not measured'}"
    predicted = alone["itl_mean_ms"] + per_arrival_ms + ttft_ms
    return front_end, describe(alone["ttft_mean_ms"], predicted, source, note, max_loras=alone["max_loras"])
