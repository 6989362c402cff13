"""What chance costs: work that comes unevenly, at a server that works off so many tokens per second.

Work arrives in requests of random sizes at random times. Seen from afar it is a Brownian motion whose variance grows
in proportion to its mean (diffusion approximation of a queue). What comes within a short window, in which a wait is
allowed or the batch has room, evens out; the capacity has to be above the mean by a standard deviation of that.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from twin.workload import Workload

Number: TypeAlias = Any
"""A number or an array of numbers."""


def dispersion(mix: Workload) -> float:
    """Variance over mean of the tokens that arrive in a long time, in tokens.

    Of a renewal process with gaps of variation c and requests of L tokens on average, with variance s^2, it is
    (c^2 L^2 + s^2) / L; independent adapters add up. Input and output lengths are taken as independent.
    """
    tokens = mix.input_mean + mix.output_mean
    variance = mix.rate @ (mix.cv**2 * tokens**2 + mix.input_std**2 + mix.output_std**2)
    return float(variance) / mix.offered_tok_s


def share_waiting(servers: int, busy: float) -> float:
    """Share of the arrivals that wait for one of so many servers, of which `busy` would be busy if there were enough.

    Erlang's C formula (Poisson arrivals), by the recursion of his B formula; 1 where there are too few.
    """
    if busy >= servers:
        return 1.0
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = busy * blocked / (count + busy * blocked)
    return blocked / (1.0 - busy / servers * (1.0 - blocked))


def utilisation(dispersion_s: Number, window_s: Number) -> Number:
    """The share of its capacity that a server can be asked for, above 0 and up to 1 (square-root staffing).

    At load r the work of a window W, in seconds of the capacity, is r W on average, with variance r D W, where D is
    dispersion / capacity (`dispersion_s`): r W + sqrt(r D W) = W.
    """
    deviation = np.sqrt(dispersion_s / window_s)
    # The root of r + deviation sqrt(r) = 1, without cancellation.
    return (np.sqrt(1.0 + deviation**2 / 4) + deviation / 2) ** -2.0
