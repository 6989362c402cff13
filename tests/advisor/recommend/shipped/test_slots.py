"""Slots for little traffic and for bursts: enough of them, and at little cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.features.vector import measure
from advisor.recommend.answer.reasons import SlotsMemory
from advisor.recommend.choice.configuration import Configurator
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import find_pair
from tests.advisor.recommend.shipped.questions import inventory, served, workload


@pytest.mark.parametrize(("adapters", "rate"), [(3000, 0.001), (100_000, 0.00005)])
def test_thousands_of_adapters_that_are_hardly_asked_are_all_served(llama: Pair, adapters: int, rate: float) -> None:
    asked = inventory(workload(np.full(adapters, rate)))
    answer = recommend(asked, llama, Objective())
    assert answer.admission.adapters == adapters
    assert answer.settings is not None
    assert answer.settings.max_loras >= 16
    assert served(answer, asked, llama).steady()


@pytest.mark.parametrize(
    ("adapters", "rate", "cv"),
    [(2000, 0.005, 4.0), (3000, 0.002, 2.0), (100_000, 0.00005, 6.0)],
)
def test_bursts_of_more_adapters_than_the_models_know_find_slots(
    llama: Pair, adapters: int, rate: float, cv: float
) -> None:
    asked = inventory(replace(workload(np.full(adapters, rate)), cv=np.full(adapters, cv)))
    answer = recommend(asked, llama, Objective())
    assert answer.admission.adapters > 1024
    assert served(answer, asked, llama).ttft_p99_ms < 1000
    known = adapters <= llama.models.manifest.max_adapters
    assert any("the models know no bursts" in each for each in answer.warnings) != known


@pytest.mark.parametrize(("adapters", "rate", "cv"), [(1000, 0.001, 4.0), (20, 0.002, 6.0)])
def test_slots_for_little_traffic_bear_bursts(llama: Pair, adapters: int, rate: float, cv: float) -> None:
    asked = inventory(replace(workload(np.full(adapters, rate)), cv=np.full(adapters, cv)))
    answer = recommend(asked, llama, Objective())
    assert answer.admission.adapters == adapters
    assert served(answer, asked, llama).ttft_p99_ms < 500
    assert not any("bursts" in each for each in answer.warnings)


def test_slots_for_little_traffic_bear_half_as_much_again(llama: Pair) -> None:
    asked = inventory(workload(np.full(1000, 0.001)))
    answer = recommend(asked, llama, Objective())
    now, then = (served(answer, asked, llama, traffic=traffic) for traffic in (1.0, 1.5))
    assert now.ttft_p99_ms < 500
    assert then.steady()
    assert then.ttft_ms < 100


@pytest.mark.parametrize(
    ("model", "adapters", "rate", "cv", "rank"),
    [
        ("llama-3.1-8b-instruct", 12, 0.3, 4.0, 64),  # step time bounds them
        ("qwen2.5-7b-instruct", 100, 0.01, 5.0, 256),  # that hardly any request waits
        ("qwen2.5-7b-instruct", 280, 0.01, 5.0, 256),  # the time of a step, of more than a few slots and bursts
        ("llama-3.1-8b-instruct", 3, 0.1, 1.0, 8),  # the adapters that there are
    ],
)
def test_spare_slots_cost_little(model: str, adapters: int, rate: float, cv: float, rank: int) -> None:
    pair = find_pair(model, "h100-64gb")
    mix = replace(workload(np.full(adapters, rate), rank), cv=np.full(adapters, cv))
    answer = recommend(inventory(mix), pair, Objective())
    rules, spare, *_ = (int(step.result) for step in answer.trace if step.output == "max_loras")
    assert rules < spare <= adapters == answer.admission.adapters
    before, after = (measure(mix, pair.profile, ttft_limit_s=2.0, max_loras=slots) for slots in (rules, spare))
    assert after["step_time"] <= (1.025 if rules <= 16 else 1.055) * before["step_time"]
    memory = pair.profile.memory
    left, whole = (memory.kv_capacity_tokens(slots, rank, 0.9) for slots in (spare, rules))
    assert left >= 0.5 * whole


@pytest.mark.parametrize(
    ("adapters", "rate", "rank", "cv", "slots", "scarce"),
    [(40, 0.02, 128, 4.0, 31, False), (300, 0.05, 128, 1.0, 31, True)],
)
def test_nobody_is_warned_of_slots_that_memory_does_not_allow_where_none_would_be_of_use(
    llama: Pair, *, adapters: int, rate: float, rank: int, cv: float, slots: int, scarce: bool
) -> None:
    asked = inventory(replace(workload(np.full(adapters, rate), rank), cv=np.full(adapters, cv)))
    answer = recommend(asked, llama, Objective())
    assert answer.settings is not None and answer.settings.max_loras == slots
    assert any(isinstance(reason, SlotsMemory) for step in answer.trace for reason in step.reasons)
    assert any("memory allows only" in warning for warning in answer.warnings) == scarce


def test_as_many_slots_as_memory_holds_bear_bursts_where_the_rules_want_more() -> None:
    pair = find_pair("qwen2.5-7b-instruct", "h100-64gb")
    asked = inventory(replace(workload(np.full(150, 0.008), 512), cv=np.full(150, 6.0)))
    answer = recommend(asked, pair, Objective())
    assert answer.admission.adapters == 150
    now, then = (served(answer, asked, pair, traffic=traffic) for traffic in (1.0, 1.5))
    assert now.ttft_p99_ms < 500
    assert then.steady()


def test_bursts_of_busy_adapters_stay_bursts(llama: Pair) -> None:
    """Beside thousands that are asked seldom, whose bursts the models do not know."""
    rates, cv = np.repeat([0.3, 0.0001], [20, 20_000]), np.repeat([6.0, 3.0], [20, 20_000])
    configured = Configurator(llama, Objective()).configure(replace(workload(rates), cv=cv))
    assert configured.values["cv_mean"] == pytest.approx((6.0 * 6.0 + 2.0 * 1.0) / 8.0)
