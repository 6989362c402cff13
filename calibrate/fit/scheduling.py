"""CPU time of a scheduler pass, from the serving runs."""

from __future__ import annotations

import numpy as np

from calibrate.fit.regression import regress
from calibrate.fit.serving import Steps
from twin.profile import Fit, Scheduling


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
