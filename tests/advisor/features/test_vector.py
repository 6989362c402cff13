"""Features mean what their units say, whatever order and number the adapters come in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.features.vector import ESTIMATES, MIX_FEATURES, SERVING_FEATURES, SLOTS_FEATURES, UNITS, measure, vector
from tests.advisor.small_zoo import profile, random_mix
from twin.workload import Workload

PROFILE = profile()
MIX = Workload(
    rank=np.array([8.0, 64.0]),
    rate=np.array([0.3, 0.1]),
    input_mean=np.array([100.0, 500.0]),
    input_std=np.array([50.0, 250.0]),
    output_mean=np.array([200.0, 40.0]),
    output_std=np.array([0.0, 0.0]),
    cv=np.array([1.0, 3.0]),
)


def test_a_mix_is_measured_in_the_units_that_are_written() -> None:
    values = measure(MIX, PROFILE, ttft_limit_s=2.0, max_loras=2)
    assert set(values) == set(UNITS)
    told = {
        "rate": 0.4, "rate_mean": 0.2, "rate_std": 0.1, "rate_min": 0.1, "rate_max": 0.3,
        "rank_sum": 72, "rank_mean": 36, "rank_std": 28, "rank_min": 8, "rank_max": 64,
        "input_mean": 200, "input_min": 100, "input_max": 500, "output_mean": 160, "output_min": 40, "output_max": 200,
        "input_rate": 80, "output_rate": 64, "token_rate": 144, "token_rate_mean": 72,
        "cv_mean": 1.5, "base_share": 0, "prefix_share": 0, "adapters": 2, "max_loras": 2, "ttft_limit": 2,
    }  # fmt: skip
    assert {name: values[name] for name in told} == pytest.approx(told)
    assert values["input_std"] == pytest.approx(np.sqrt(0.75 * (50**2 + 100**2) + 0.25 * (250**2 + 300**2)))
    assert values["steady_load"] < values["estimated_load"]
    assert set(UNITS) - set(told) == {*ESTIMATES, "input_std", "output_std"}


def test_a_feature_is_asked_of_what_it_depends_on() -> None:
    assert set(MIX_FEATURES) < set(SLOTS_FEATURES) < set(UNITS)
    assert set(SERVING_FEATURES) | {"ttft_limit", "steady_load"} == set(UNITS)
    assert vector(measure(MIX, PROFILE, ttft_limit_s=2.0), MIX_FEATURES).shape == (1, len(MIX_FEATURES))


@given(seed=st.integers(0, 100), size=st.integers(1, 40), times=st.integers(2, 4))
def test_order_does_not_matter_and_mix_features_not_how_often_it_is_there(seed: int, size: int, times: int) -> None:
    generator = np.random.default_rng(seed)
    mix = random_mix(generator, size)
    once = measure(mix, PROFILE, ttft_limit_s=2.0)
    shuffled = measure(mix.take(generator.permutation(size)), PROFILE, ttft_limit_s=2.0)
    assert shuffled == pytest.approx(once, rel=1e-6, abs=1e-9)
    repeated = measure(mix.take(np.tile(np.arange(size), times)), PROFILE, ttft_limit_s=2.0)
    for name in MIX_FEATURES:
        assert repeated[name] == pytest.approx(once[name], rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize("trait", ["cv", "input_std", "output_std"])
def test_what_comes_less_evenly_leaves_less_load(trait: str) -> None:
    mix = random_mix(np.random.default_rng(1), 30)
    uneven = replace(mix, **{trait: getattr(mix, trait) * 3})
    even, worse = (measure(each, PROFILE, ttft_limit_s=2.0) for each in (mix, uneven))
    assert worse["dispersion"] > even["dispersion"]
    assert worse["steady_load"] / worse["estimated_load"] < even["steady_load"] / even["estimated_load"]


@pytest.mark.filterwarnings("error")
@given(
    rates=st.lists(st.sampled_from([0.0, 1e-9, 1e-4, 0.1, 1000.0]), min_size=1, max_size=80).filter(any),
    cv=st.sampled_from([0.01, 1.0, 100.0]),
    seed=st.integers(0, 20),
    slots=st.integers(1, 80),
)
def test_adapters_that_are_not_asked_leave_every_feature_a_number(
    rates: list[float], cv: float, seed: int, slots: int
) -> None:
    mix = random_mix(np.random.default_rng(seed), len(rates))
    mix = replace(mix, rate=np.array(rates), cv=np.full(len(rates), cv))
    values = measure(mix, PROFILE, ttft_limit_s=2.0, max_loras=slots)
    assert all(map(np.isfinite, values.values()))
    assert values["active_adapters"] <= len(rates)
