"""What it takes to bring an adapter into a slot."""

from __future__ import annotations

import numpy as np
import pandas as pd

from calibrate.errors import CalibrationError
from calibrate.fit.regression import describe, regress
from twin.profile import Fit, Loading


def fit_loading(table: pd.DataFrame, source: str) -> tuple[Loading, Fit]:
    """Fit both load times as linear in the rank, constant where the rank does not matter."""
    if table.empty:
        raise CalibrationError("adapter_loading.csv: no rows to fit the loading model")
    rank = table["ranks"]
    memory = regress({"base": 1.0, "per_rank": rank}, table["memory_load_ms_mean"])
    disk = regress({"base": 1.0, "per_rank": rank}, table["disk_load_ms_mean"])
    loading = Loading(
        memory_base_ms=memory.coefficients["base"],
        memory_per_rank_ms=memory.coefficients["per_rank"],
        disk_base_ms=disk.coefficients["base"],
        disk_per_rank_ms=disk.coefficients["per_rank"],
    )
    measured = np.concatenate([memory.measured, disk.measured])
    predicted = np.concatenate([memory.predicted, disk.predicted])
    return loading, describe(measured, predicted, source, "host memory to slot and disk to host memory", rank=rank)
