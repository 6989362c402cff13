"""What chance costs: measured against traffic that the twin draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.features.queueing import dispersion, utilisation
from twin.workload import Workload, draw

positive = st.floats(1e-3, 1e3)


def mix_of(cv: float) -> Workload:
    """Eight adapters of different rates and lengths."""
    rate, prompt, answer = np.geomspace(0.2, 2, 8), np.geomspace(400, 100, 8), np.linspace(50, 300, 8)
    return Workload(np.full(8, 8.0), rate, prompt, 0.9 * prompt, answer, 0.5 * answer, np.full(8, cv))


@pytest.mark.parametrize("cv", [1.0, 2.0, 4.0])
def test_dispersion_is_that_of_the_traffic(cv: float) -> None:
    mix = mix_of(cv)
    requests = draw(Workload(*(getattr(mix, name) for name in mix.__slots__)), 200_000.0, 1)
    windows = np.add.reduceat(
        (requests.input + requests.output).astype(np.float64),
        np.searchsorted(requests.arrival, np.arange(0, 200_000, 200)),
    )
    assert windows.var() / windows.mean() == pytest.approx(dispersion(mix), rel=0.2)


@given(dispersion_s=positive, window_s=positive)
def test_the_work_of_a_window_and_its_deviation_fill_it(dispersion_s: float, window_s: float) -> None:
    load = utilisation(dispersion_s, window_s)
    assert 0 < load < 1
    assert load * window_s + np.sqrt(load * dispersion_s * window_s) == pytest.approx(window_s)
