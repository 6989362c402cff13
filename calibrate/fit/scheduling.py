"""CPU time between steps: of a scheduler pass, from the serving runs, and of requests that must wait, from a crowd."""

from __future__ import annotations

import numpy as np
import pandas as pd

from calibrate.errors import CalibrationError
from calibrate.fit.regression import regress
from calibrate.fit.serving import Steps
from twin.profile import Fit, Scheduling

BORROWED = "as in {pair}"
"""Note of a fit that was taken from the profile of another pair."""


def is_own(fit: Fit | None) -> bool:
    """Whether it was fitted to scheduler_steps.csv, which then is of that model, and not taken from another profile."""
    return fit is not None and not fit.note.startswith(BORROWED.format(pair=""))


def fit_scheduling(steps: Steps, source: str) -> tuple[Scheduling, Fit]:
    """Fit `base + per_request * R + per_scanned * S` where the number S of requests looked at is known.

    With a slot for every adapter none is passed over; with too few slots and KV blocks to spare all that wait are.
    Where the KV cache runs full in between, S is not known: such runs are uneven and left out.
    """
    known = steps.take((steps.batch >= 1) & (steps.slots_suffice | ~steps.uneven))
    scanned = np.where(known.slots_suffice, 0.0, known.waiting)
    model = regress({"base": 1.0, "per_request": known.decoding, "per_scanned": scanned}, known.scheduling)
    scheduling = Scheduling(
        base_ms=model.coefficients["base"],
        per_request_ms=model.coefficients["per_request"],
        per_scanned_ms=model.coefficients["per_scanned"],
    )
    return scheduling, model.fit(source, running=known.decoding, scanned=scanned)


def fit_crowd(crowd: pd.DataFrame, source: str) -> tuple[Scheduling, Fit]:
    """Fit `per_scanned` and `per_arrival` where nothing else of a step differs; what it takes in any case is not known.

    Rows as in crowd.csv (`calibrate.fit.tables`). An arrival's cost is that of all requests, also of those that are
    served. Either is 0 where the steps are no longer.

    Raises:
        CalibrationError: there are no rows.
    """
    if crowd.empty:
        raise CalibrationError("crowd.csv: no rows of this model to fit what requests cost that wait")
    quiet, arriving = crowd["quiet_ms"].to_numpy(np.float64), crowd["arriving_ms"].to_numpy(np.float64)
    nothing = np.zeros(len(crowd))
    terms = {
        "alone": np.concatenate([quiet] * 3),
        "per_scanned": np.concatenate([nothing, crowd["arriving_waiting"], crowd["waiting"]]),
        "per_arrival": np.concatenate([nothing, crowd["arrivals_s"] * arriving / 1e3, nothing]),
    }
    model = regress(terms, np.concatenate([quiet, arriving, crowd["waiting_ms"]]))
    found = model.coefficients
    scheduling = Scheduling(
        base_ms=0.0, per_request_ms=0.0, per_scanned_ms=found["per_scanned"], per_arrival_ms=found["per_arrival"]
    )
    note = "base and requests are in the step"
    return scheduling, model.fit(source, note, scanned=terms["per_scanned"], arrivals=terms["per_arrival"])
