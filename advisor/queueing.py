"""What chance costs: waits at a server of given capacity whose work does not come evenly.

Work arrives in requests of random sizes at random times. Seen from afar it is a Brownian motion whose variance grows
in proportion to the mean (diffusion approximation of a queue); the server is one that works off tokens at a fixed
rate, the most in equilibrium (`advisor.estimate`), which leaves out that the batch holds some of the work without
a wait. The models learn by how much serving differs from that.
"""

from __future__ import annotations

import math

from advisor.mix import Mix

HORIZON_S = 3600.0
"""What counts as a wait is a mean over so long, from an empty server on: beyond its capacity the wait grows."""


def dispersion(mix: Mix) -> float:
    """Variance over mean of the tokens that arrive in a long time, in tokens.

    Of a renewal process with gaps of variation c and requests of L tokens on average, with variance s^2, it is
    (c^2 L^2 + s^2) / L; independent adapters add up. Input and output lengths are taken as independent.
    """
    tokens = mix.input_mean + mix.output_mean
    variance = mix.rate @ (mix.cv**2 * tokens**2 + mix.input_std**2 + mix.output_std**2)
    return float(variance) / mix.token_rate


def mean_wait(load: float, dispersion_s: float) -> float:
    """Mean wait in s over the horizon at `load` times the capacity; `dispersion_s` is dispersion / capacity in s.

    Well below the capacity this is the wait in heavy traffic, load D / (2 (1 - load)); well above it half of the
    backlog that has piled up in the end, (load - 1) H / 2. In between it is the positive root w of
    w^2 - w (load - 1) H / 2 = load D H / 4, within 7 % of the Brownian motion's sqrt(8 D H / (9 pi)) at load 1.
    """
    growth = (load - 1.0) * HORIZON_S / 2
    root = math.sqrt(growth**2 + load * dispersion_s * HORIZON_S)
    # Of the two forms of the root the one without cancellation.
    return (growth + root) / 2 if growth > 0 else load * dispersion_s * HORIZON_S / (2 * (root - growth))


def utilisation(dispersion_s: float, wait_s: float) -> float:
    """The load, relative to the capacity, at which the mean wait is `wait_s`: the inverse of `mean_wait`."""
    return (1.0 + 2.0 * wait_s / HORIZON_S) / (1.0 + dispersion_s / (2.0 * wait_s))
