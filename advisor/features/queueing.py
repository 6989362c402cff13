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
MANY = 64.0
"""Servers beyond which the limit of Erlang's formula is near enough; the formula itself takes a step for each."""
LEAST_PEAKED = 1e-3
"""Variance over mean below which nothing comes by chance."""
FAR = 8.0
"""Standard deviations beyond which nothing is met with."""
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


def share_waiting(servers: float, busy: float) -> float:
    """Share of the arrivals that wait for one of so many servers, of which `busy` would be busy if there were enough.

    Erlang's C formula (Poisson arrivals), by the recursion of his B formula, of many servers in the limit; 1 where
    there are too few. Servers need not be whole: below one, those that find it busy go by the power that it is.
    """
    if busy >= servers:
        return 1.0
    if servers > MANY:
        return chance_of_waiting((servers - busy) / math.sqrt(max(busy, 1e-12)))
    whole = math.floor(servers)
    part = servers - whole
    blocked = (busy / (1.0 + busy)) ** part
    for count in range(1, whole + 1):
        blocked = busy * blocked / (count + part + busy * blocked)
    return blocked / (1.0 - busy / servers * (1.0 - blocked))


def chance_of_waiting(spare: float) -> float:
    """Share of the arrivals that wait for one of many servers, of which `spare` standard deviations are free.

    Halfin and Whitt's limit of Erlang's C formula for many servers; 1 where none are free.
    """
    spare = min(max(spare, 0.0), FAR)
    return 1.0 / (1.0 + spare * math.sqrt(2 * math.pi) * math.exp(spare**2 / 2) * float(normal(spare)))


def normal(x: Number) -> Number:
    """The distribution function of the standard normal distribution, above 0 (Abramowitz and Stegun 26.2.17)."""
    t = 1.0 / (1.0 + 0.2316419 * x)
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    return 1.0 - np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * series


def wait_time(servers: float, busy: float, variance: float, between_s: float) -> float:
    """Time that an arrival waits for one of many servers, s on average over an hour.

    `busy` servers would be if there were enough, with such a variance, and all of them together one is released every
    `between_s` when all are taken. That of a queue with as many servers (M/M/k), of bursts as many times longer as the
    variance is above Poisson's (Hayward's approximation), and no longer than in an hour it gets.
    """
    peaked = max(variance / max(busy, 1e-12), LEAST_PEAKED)
    waiting = share_waiting(servers / peaked, busy / peaked)
    return waiting * float(piled_up(2.0 * between_s * peaked, busy / servers))


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
    return float(piled_up(dispersion_s * load_share**2, load_share))


def piled_up(variance_s: Number, load_share: Number) -> Number:
    """As `queue_time`, of work with such a variance per second, in s: a number or an array."""
    within_hour = WANDERS * np.sqrt(variance_s * HOUR_S)
    over = np.maximum(load_share - 1.0, 0.0) * HOUR_S / 2
    in_the_end = variance_s / (2.0 * np.maximum(1.0 - load_share, 1e-12))
    below = within_hour * in_the_end / np.maximum(within_hour + in_the_end, 1e-300)
    return np.where(load_share < 1.0, below, within_hour + over)
