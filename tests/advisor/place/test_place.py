"""Every adapter is on a GPU that serves it, or the answer says why it is on none."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.place.algorithms import ALGORITHMS
from advisor.place.place import place
from advisor.place.problem import GpuType, Problem
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix
from twin.arrivals import Phase


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), idle=st.booleans(), algorithm=st.sampled_from(sorted(ALGORITHMS)))
def test_every_adapter_is_placed_once_or_told_why_not(pair: Pair, seed: int, idle: bool, algorithm: str) -> None:
    mix = random_mix(np.random.default_rng(seed))
    if idle:
        mix = replace(mix, rate=np.where(np.arange(len(mix)) % 3 == 0, 0.0, mix.rate))
    problem = Problem(of(mix), (GpuType(pair),))
    answer = place(problem, algorithm)
    where = [adapter for each in answer.assignments for adapter in each.adapters]
    assert sorted([*where, *answer.unplaced]) == list(range(len(mix)))
    assert answer.lower_bound <= answer.gpus or any(each.missed for each in answer.assignments)
    assert place(problem, algorithm) == answer
    json.dumps(answer.document(problem.inventory))


def test_a_placement_says_what_of_the_traffic_its_models_do_not_know(pair: Pair) -> None:
    mix = replace(random_mix(np.random.default_rng(1), 10), phases=(Phase(300), Phase(300, scale=2, lognormal=True)))
    told = place(Problem(of(mix), (GpuType(pair),))).warnings
    assert any(warning.startswith("gaps are log-normal for 10 adapters") for warning in told)
    assert any("this is for the busiest minute, which brings 1.3 times the mean" in warning for warning in told)


def test_a_placement_says_that_it_knows_of_no_fan_out(pair: Pair) -> None:
    asked = of(random_mix(np.random.default_rng(1), 10))
    panel = replace(asked, together=dict.fromkeys(asked.names[:4], "panel"))
    (told,) = (each for each in place(Problem(panel, (GpuType(pair),))).warnings if "same moment" in each)
    assert told.startswith("4 adapters are asked at the same moment as others")
    assert not any("same moment" in each for each in place(Problem(asked, (GpuType(pair),))).warnings)
