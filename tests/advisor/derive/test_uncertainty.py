"""How far an answer may be off: what the careful Profile promises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from advisor.derive.engine import Engine
from advisor.derive.uncertainty import REASONS, cautious, interval, moved
from advisor.features.estimate import estimate
from advisor.features.served_mix import ServedMix
from advisor.zoo.pairs import find_pair
from tests.advisor.small_zoo import random_mix
from twin.profile import Profile

SIGMAS = 1.645
"""An interval's end is what 19 of 20 are below."""


@pytest.mark.parametrize(
    ("model", "gpu", "engine"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "a100-80gb", Engine()),
        ("meta-llama/Llama-3.1-8B-Instruct", "h200", Engine(vllm="0.8.5")),
        ("Qwen/Qwen3-8B", "l4", Engine(quantization="awq")),
    ],
)
def test_nine_of_ten_servers_bear_what_the_careful_profile_does(model: str, gpu: str, engine: Engine) -> None:
    generator = np.random.default_rng(0)
    mix, profile = random_mix(generator, 60), find_pair(model, gpu, None, engine).profile

    def served(of: Profile) -> float:
        return math.log(estimate(ServedMix(mix, of)).max_adapters)

    careful = served(cautious(profile, served).profile)
    drawn = generator.normal(size=(100, len(REASONS))) / SIGMAS
    bear = [served(moved(profile, dict(zip(REASONS, row, strict=True)))) >= careful - 1e-9 for row in drawn]
    assert np.mean(bear) >= 0.9
    assert served(moved(profile, dict.fromkeys(REASONS, 1.0))) <= careful < served(profile)


def test_a_figure_is_off_by_the_root_of_the_sum_of_squares() -> None:
    low, high = interval(
        100.0, [(100 / math.exp(0.3), 100 * math.exp(0.3)), (100 / math.exp(0.4), 100 * math.exp(0.4))]
    )
    assert (low, high) == pytest.approx((100 / math.exp(0.5), 100 * math.exp(0.5)))


def test_what_was_measured_is_not_moved() -> None:
    profile = find_pair("meta-llama/Llama-3.1-8B-Instruct", "h100-64gb").profile
    assert moved(profile, dict.fromkeys(REASONS, 1.0)) is profile
