"""Percentiles of ITL and TTFT estimated from their means, for pairs whose models know means alone.

The logarithm of a percentile over its mean is linear in what lengthens the tail: both means, the share of the time that
the front end is held up, how long prompts are and how much they differ, the request rate and the answers. By least
squares of 673 steady hours of the twin (mean TTFT within 2 s): the first 160 mixes of the zoo's grid at 25, 60 and 90 %
of the load in equilibrium, with both pairs of 2026-11. Of mixes left out (five folds) half of the estimates are within
4, 14 and 20 % (P50, P95 and P99 of ITL), 16, 16 and 31 % (of TTFT): rough, and no more than a mean can tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import mul

from twin.profile import FrontEnd

# In this order: 1; logarithms of the mean ITL and TTFT, ms; the share held up; logarithms of the mean prompt and its
# spread, tokens, of the requests/s and of the mean answer, tokens.
_COEFFICIENTS = {
    "itl_p50_ms": (0.391, 0.010, -0.026, -0.616, -0.050, -0.031, -0.042, 0.025),
    "itl_p95_ms": (-1.310, 0.038, 0.005, 0.369, 0.144, 0.079, 0.181, -0.022),
    "itl_p99_ms": (-0.562, -0.500, 0.077, 9.187, 0.227, 0.086, 0.242, 0.038),
    "ttft_p50_ms": (0.163, 0.881, -0.694, -2.669, 0.308, -0.144, -0.112, -0.174),
    "ttft_p95_ms": (0.708, -0.202, 0.222, 4.585, -0.143, 0.181, -0.019, -0.120),
    "ttft_p99_ms": (1.717, -0.714, 0.472, 6.075, -0.269, 0.219, 0.006, -0.003),
}
MARGINS = {
    "itl_p50_ms": 1.19,
    "itl_p95_ms": 1.71,
    "itl_p99_ms": 1.65,
    "ttft_p50_ms": 1.68,
    "ttft_p95_ms": 1.67,
    "ttft_p99_ms": 2.35,
}
"""Times the estimate is what 19 of 20 of these hours keep below."""


def estimated(itl_ms: float, ttft_ms: float, values: Mapping[str, float], front_end: FrontEnd) -> dict[str, float]:
    """Percentiles by their names among measures, ms; `values` are the features of the adapters with their slots."""
    in_batch = min(values["active_adapters"], values["max_loras"])
    held_up = front_end.merged_per_adapter * in_batch * (1 - in_batch / max(values["adapters"], in_batch, 1.0))
    row = (
        1.0,
        math.log(itl_ms),
        math.log(ttft_ms),
        held_up / (1 + held_up),
        math.log(max(values["input_mean"], 1.0)),
        math.log(max(values["input_spread"] * values["input_mean"], 1.0)),
        math.log(max(values["rate"], 1e-6)),
        math.log(max(values["output_mean"], 1.0)),
    )
    found: dict[str, float] = {}
    least = 0.0
    for name, coefficients in _COEFFICIENTS.items():
        least = 0.0 if "_p50_" in name else least  # a percentile is none below the one before it
        mean = itl_ms if name.startswith("itl") else ttft_ms
        least = found[name] = max(mean * math.exp(sum(map(mul, row, coefficients))), least)
    return found
