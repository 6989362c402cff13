"""Slots for given adapters, and how many adapters, where it is known which configurations keep the objective."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from advisor.recommend.choice.configuration import OTHER_SLOTS, Configurator
from advisor.recommend.choice.search import choose
from advisor.recommend.objective import Objective
from advisor.zoo.pair import Pair
from advisor.zoo.predictor import Prediction
from tests.advisor.recommend.test_recommend import uniform, with_context
from twin.workload import Workload


def where(pair: Pair, met: Callable[[dict[str, float]], bool], **fixed: int) -> Configurator:
    """A configurator for which what `met` holds for keeps the objective, and nothing else."""
    configurator = Configurator(pair, Objective(), fixed)
    predict = configurator._predict

    class OnlySome:
        required, margins = predict.required, predict.margins

        def __call__(self, values: dict[str, float]) -> Prediction:
            return replace(predict(values), chance=1.0 if met(values) else 0.0, ttft_ms=50.0)

    configurator._predict = OnlySome()  # type: ignore[assignment]
    return configurator


def slots_found(pair: Pair, mix: Workload, met: Callable[[float], bool]) -> int:
    """The slots of the answer where those for which `met` holds keep the objective, and no others."""
    return where(pair, lambda values: met(values["max_loras"])).configure(mix).settings.max_loras


def test_all_adapters_are_tried_before_the_size_that_the_rules_say(pair: Pair) -> None:
    mix = uniform(100, 1.0)
    configurator = where(pair, lambda values: values["adapters"] <= 5 or values["adapters"] == 100)
    assert choose(configurator, lambda size: mix.take(np.arange(size)), 100).size == 100


@pytest.mark.parametrize("least", [30, 31, 33, 34, 80])
def test_fewer_than_are_wanted_are_not_searched(pair: Pair, least: int) -> None:
    """A tenth more is asked about as well, for a classifier may be unsure of one size alone; and nothing else."""
    mix, asked = uniform(100, 1.0), set[int]()
    configurator = where(pair, lambda values: values["adapters"] <= 34 and values["adapters"] != least)

    def subset(size: int) -> Workload:
        asked.add(size)
        return mix.take(np.arange(size))

    choice = choose(configurator, subset, 100, least=least)
    if least <= 30:
        assert choice.size == 34
    else:
        assert choice.size == 0
        assert (choice.reason or "").startswith(f"not {least} of them: chance of a steady hour 0.0%")
        assert len(asked) <= 3


def test_other_slots_leave_the_memory_that_the_server_needs(pair: Pair) -> None:
    mix = uniform(100, 0.1, rank=64)
    asked = slots_found(pair, mix, lambda _: True)
    assert slots_found(pair, mix, lambda slots: slots > asked) > asked
    full = with_context(pair, pair.profile.memory.kv_capacity_tokens(asked, 64, 0.9))
    assert slots_found(full, mix, lambda slots: slots > asked) <= asked


def test_other_slots_are_no_more_than_the_fixed_host_memory_holds(pair: Pair) -> None:
    some = where(pair, lambda values: values["max_loras"] != 10, max_cpu_loras=10).configure(uniform(100, 1.0))
    assert 1 <= some.settings.max_loras < some.settings.max_cpu_loras == 10


def test_slots_that_others_are_tried_for_are_the_nearest(pair: Pair) -> None:
    """Where any other number keeps the objective, the one that is off by the smallest factor is taken."""
    mix = uniform(100, 0.1)
    asked = slots_found(pair, mix, lambda _: True)
    found = slots_found(pair, mix, lambda slots: slots != asked)
    others = {min(max(round(asked * factor), 1), 100) for factor in OTHER_SLOTS} - {asked}
    assert found == min(others, key=lambda count: (abs(math.log(count / asked)), count)) != max(others)
    assert abs(math.log(found / asked)) < 0.3
