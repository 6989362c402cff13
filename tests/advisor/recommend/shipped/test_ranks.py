"""A few large ranks among many small ones."""

from __future__ import annotations

import re

import numpy as np
import pytest

from advisor.recommend.objective import Objective, ObjectiveName
from advisor.recommend.recommend import recommend
from advisor.zoo.pair import Pair
from tests.advisor.recommend.shipped.questions import inventory, workload
from twin.service_level import Limit


def test_three_large_ranks_do_not_decide_for_two_hundred_small_ones(llama: Pair) -> None:
    ranks = np.array([8.0] * 200 + [256.0] * 3)
    small = recommend(inventory(workload(np.full(200, 0.1), 8)), llama, Objective()).admission.adapters
    answer = recommend(inventory(workload(np.full(203, 0.1), ranks)), llama, Objective())
    assert answer.admission.adapters == small
    assert answer.flags["max_lora_rank"] == 8
    assert {"a-200", "a-201", "a-202"} <= set(answer.admission.rejected)
    (told,) = [warning for warning in answer.warnings if "left out" in warning]
    assert told.startswith("a-200, a-201, a-202 are left out")
    assert f"without {small}" in told


@pytest.mark.parametrize(
    ("adapters", "rate", "objective"),
    [
        (128, 0.05, Objective()),
        (300, 0.01, Objective()),
        (128, 0.05, Objective(ObjectiveName.LATENCY, Limit(0.3), Limit(0.08, "p95"))),
    ],
)
def test_what_a_large_rank_would_cost_was_asked_of_the_models(
    llama: Pair, adapters: int, rate: float, objective: Objective
) -> None:
    ranks = np.array([16.0] * adapters + [512.0])
    answer = recommend(inventory(workload(np.full(adapters + 1, rate), ranks)), llama, objective)
    (told,) = [warning for warning in answer.warnings if "left out" in warning]
    assert told.startswith(f"a-{adapters} is left out, for every slot is as large") and "here above 16" in told
    (beside, without) = map(int, re.findall(r"with it one GPU serves (\d+) .*, without (\d+)", told)[0])
    assert without == answer.admission.adapters and beside < without
    together = recommend(inventory(workload(np.full(beside, rate), ranks[-beside:])), llama, objective)
    assert together.admission.adapters == beside and together.flags["max_lora_rank"] == 512
    assert "are left out" in answer.admission.principle


@pytest.mark.parametrize("objective", [Objective(), Objective(ObjectiveName.LATENCY, Limit(0.3))])
def test_the_trace_is_of_those_that_are_not_left_out(llama: Pair, objective: Objective) -> None:
    """It told the load limit beside the large rank, 34 adapters, of an answer that admits a hundred."""
    rates = np.full(101, 0.05)
    answer = recommend(inventory(workload(rates, np.array([8.0] * 100 + [256.0]))), llama, objective)
    assert answer.admission.rejected == ("a-100",)
    alone = recommend(inventory(workload(rates[:100], 8)), llama, objective)
    limit, of_these = (next(s.result for s in each.trace if s.output == "load_limit") for each in (answer, alone))
    assert limit == pytest.approx(of_these)
    assert (answer.expected, answer.flags) == (alone.expected, alone.flags)
    assert not any("rank_share" in warning for warning in answer.warnings)


def test_of_several_large_ranks_it_is_said_how_many_are_meant(llama: Pair) -> None:
    ranks = np.array([8.0] * 100 + [256.0] * 4 + [512.0])
    answer = recommend(inventory(workload(np.full(105, 0.05), ranks)), llama, Objective())
    (told,) = [warning for warning in answer.warnings if "left out" in warning]
    assert re.search(r"with (\d|a-100 alone) of them one GPU serves \d+ \(", told)


def test_one_rank_that_fits_nowhere_does_not_refuse_the_others(llama: Pair) -> None:
    """With 0.25 of the GPU's memory fixed the slots are few: one of rank 512 takes a tenth of the KV cache."""
    ranks = np.array([8.0] * 100 + [512.0])
    asked = inventory(workload(np.full(101, 0.02), ranks), fixed={"gpu_memory_utilization": 0.65})
    answer = recommend(asked, llama, Objective())
    assert answer.admission.adapters >= 100


def test_many_that_are_hardly_asked_are_not_worth_the_mix(llama: Pair) -> None:
    """A hundred of rank 8 would leave 300 busy ones of rank 32 without a server."""
    rates, ranks = np.repeat([0.0001, 0.1], [200, 300]), np.repeat([8.0, 32.0], [200, 300])
    answer = recommend(inventory(workload(rates, ranks)), llama, Objective())
    assert answer.flags["max_lora_rank"] == 32
    assert answer.admission.principle.startswith("the mix is kept")


def test_of_many_ranks_as_many_as_need_be_are_left_out(llama: Pair) -> None:
    ranks = np.repeat([8.0, 64.0, 256.0], [200, 3, 3])
    answer = recommend(inventory(workload(np.full(206, 0.1), ranks)), llama, Objective())
    assert answer.flags["max_lora_rank"] == 8
    assert answer.admission.adapters > 100
