"""Features mean what their units say, whatever order and number the adapters come in."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from advisor.features import queueing, served_mix
from advisor.features.vector import (
    ESTIMATES,
    INVENTORY,
    MIX_FEATURES,
    PROPORTIONS,
    SERVING_FEATURES,
    SLOTS_FEATURES,
    STEADY_FEATURES,
    UNITS,
    measure,
    vector,
)
from model_zoo.campaign.grid import sample
from model_zoo.campaign.profiles import draw
from tests.advisor.small_zoo import profile, random_mix
from twin.profile import Profile, load
from twin.workload import Workload

PROFILE = profile()
LLAMA = load(Path("model_zoo/pairs/llama-3.1-8b-instruct--h100-64gb/profile.toml"))
MIXES = sample(64, seed=0)
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
        "adapters": 2, "rate": 0.4, "rate_mean": 0.2, "token_rate": 144, "token_rate_mean": 72,
        "rank_max": 64, "input_mean": 200, "output_mean": 160, "cv_mean": 1.5, "base_share": 0, "prefix_share": 0,
        "rate_spread": 0.1 / 0.2, "rate_peak": 0.3 / 0.2, "rank_share": 36 / 64,
        "input_spread": np.sqrt(0.75 * (50**2 + 100**2) + 0.25 * (250**2 + 300**2)) / 200,
        "output_spread": np.sqrt(0.75 * 40**2 + 0.25 * 120**2) / 160,
        "input_differs": 500 / 200, "output_differs": 200 / 160,
    }  # fmt: skip
    assert {name: values[name] for name in told} == pytest.approx(told)
    assert set(told) == {*INVENTORY, *PROPORTIONS}
    assert set(UNITS) - set(told) == {*ESTIMATES, "ttft_limit"}
    assert (values["ttft_limit"], values["max_loras"]) == (2, 2)
    assert values["steady_load"] < values["estimated_load"]


@pytest.mark.parametrize(
    ("share", "of", "whole"),
    [
        ("load_share", "token_rate", "estimated_load"),
        ("steady_load_share", "token_rate", "steady_load"),
        ("steady_share", "steady_load", "estimated_load"),
        ("saturated_share", "saturated_load", "estimated_load"),
        ("active_share", "active_adapters", "adapters"),
        ("slots_share", "active_adapters", "max_loras"),
        ("slots_per_adapter", "max_loras", "adapters"),
        ("prompt_share", "prompt_time", "ttft_limit"),
    ],
)
def test_a_share_is_one_of_what_is_written(share: str, of: str, whole: str) -> None:
    for seed in range(5):
        mix = random_mix(np.random.default_rng(seed), 30)
        values = measure(mix, PROFILE, ttft_limit_s=1.5, max_loras=7)
        assert values[share] == pytest.approx(values[of] / values[whole])


def test_a_feature_is_asked_of_what_it_depends_on() -> None:
    assert set(MIX_FEATURES) < set(SLOTS_FEATURES) < set(UNITS)
    assert set(SERVING_FEATURES) < set(STEADY_FEATURES)
    assert vector(measure(MIX, PROFILE, ttft_limit_s=2.0), MIX_FEATURES).shape == (1, len(MIX_FEATURES))


def test_models_see_nothing_that_a_faster_gpu_has_more_of() -> None:
    """Requests and tokens per second they do not see at all, and of times none but those that somebody waits."""
    seen = {*SLOTS_FEATURES, *STEADY_FEATURES}
    assert set(UNITS) - seen == {
        *("rate", "rate_mean", "token_rate", "token_rate_mean"),
        *("estimated_load", "saturated_load", "steady_load", "dispersion"),
    }
    assert not [name for name in seen if PER_SECOND.match(UNITS[name])]


PER_SECOND, SECONDS = re.compile(r"(offered )?(requests|tokens)/s"), re.compile(r"m?s\b")


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    number=st.integers(0, len(MIXES) - 1),
    size=st.integers(1, 200),
    slots=st.integers(1, 64),
    times=st.floats(0.1, 10),
)
@example(seed=369701387, number=36, size=3, slots=1, times=2.5)  # longer steps that serve no more adapters
@example(seed=361031, number=57, size=149, slots=59, times=3.0)  # what is found falls steeply with what is assumed
def test_whether_all_takes_longer_only_shows_in_what_is_counted_in_seconds(
    *, seed: int, number: int, size: int, slots: int, times: float
) -> None:
    """A GPU half as fast, asked half as often by people twice as patient, is the same to all but a clock."""
    random, mix = np.random.default_rng(seed), MIXES[number].adapters(size)
    usual = draw(LLAMA, 20_000.0, random)
    limit_s = float(random.uniform(0.5, 30.0))
    before = measure(mix, usual, ttft_limit_s=limit_s, max_loras=slots)
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr(queueing, "HOUR_S", times * queueing.HOUR_S)
        clock.setattr(served_mix, "STEP_S", times * served_mix.STEP_S)
        after = measure(asked_less(mix, times), slower(usual, times), ttft_limit_s=times * limit_s, max_loras=slots)
    for name, unit in UNITS.items():
        scale = times if SECONDS.match(unit) else 1 / times if PER_SECOND.match(unit) else 1.0
        assert after[name] == pytest.approx(scale * before[name], rel=1e-6, abs=1e-9), name


def asked_less(mix: Workload, times: float) -> Workload:
    base = mix.base and replace(mix.base, rate=mix.base.rate / times)
    return replace(mix, rate=mix.rate / times, base=base)


def slower(profile: Profile, times: float) -> Profile:
    """With all that takes time taking so many times as long."""
    sections = profile.model_dump()
    for name in ("step", "scheduling", "loading", "front_end"):
        for constant, value in sections[name].items():
            if constant.endswith(("_ms", "_every_s")):
                sections[name][constant] = times * value
    return Profile.model_validate(sections)


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
    assert worse["dispersion_time"] > even["dispersion_time"]
    assert worse["steady_share"] < even["steady_share"]


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
