"""What chance costs: work that comes unevenly, at a server that works off so many tokens per second.

Work arrives in requests of random sizes at random times. Seen from afar it is a Brownian motion whose variance grows
in proportion to its mean (diffusion approximation of a queue). What comes within a short window, in which a wait is
allowed or the batch has room, evens out; the capacity has to be above the mean by a standard deviation of that.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from twin.workload import Workload

Number: TypeAlias = Any
"""A number or an array of numbers."""
HOUR_S = 3600.0
"""What models answer for."""
WANDERS = 2 / 3 * math.sqrt(2 / math.pi)
"""Mean distance of a Brownian motion from where it began, over a time, in standard deviations at its end."""


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


def queue_time(dispersion_s: float, load_share: float) -> float:
    """Work that is piled up on average over an hour, in seconds of the capacity, at a share of it that is asked for.

    Of a Brownian motion reflected at 0: what it comes to in the long run, D r / (2 (1 - r)) as in a queue with one
    server, but no more than it gets to from 0 within an hour without drift; beyond the capacity its drift comes on top.
    `dispersion_s` is the dispersion over the tokens/s that are asked for.
    """
    variance = dispersion_s * load_share**2
    within_hour = WANDERS * math.sqrt(variance * HOUR_S)
    if load_share >= 1:
        return within_hour + (load_share - 1) * HOUR_S / 2
    in_the_end = variance / (2 * (1 - load_share))
    return 1 / (1 / in_the_end + 1 / within_hour)
