"""Which adapters are admitted where not all can be: the mix is kept, but for giants."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from advisor.inventory.inventory import Inventory
from advisor.recommend.choice.configuration import Configurator
from advisor.recommend.objective import Objective, ObjectiveName
from advisor.recommend.recommend import recommend
from advisor.zoo.pair import Pair
from tests.advisor.recommend.shipped.questions import inventory, workload
from twin.service_level import Limit


def test_a_giant_does_not_decide_for_the_others(llama: Pair) -> None:
    rates = np.array([0.05] * 50 + [50.0] + [0.05] * 50)
    answer = recommend(inventory(workload(rates)), llama, Objective())
    assert answer.admission.adapters == 100
    assert answer.admission.rejected == ("a-50",)
    assert "come after the others" in answer.admission.principle


def test_with_an_itl_limit_the_mix_is_kept_and_the_principle_said(llama: Pair) -> None:
    rates = np.repeat([0.02, 0.1, 0.3], 40)
    asked = inventory(workload(rates))
    answer = recommend(asked, llama, Objective(ObjectiveName.LATENCY, itl_limit=Limit(0.035)))
    admitted = asked.only(answer.admission.admitted).workload.rate
    assert 0 < answer.admission.adapters < 120
    counts = [int((admitted == rate).sum()) for rate in (0.02, 0.1, 0.3)]
    assert max(counts) - min(counts) <= 2
    assert answer.admission.principle.startswith("the mix is kept")


def test_where_no_mix_can_be_kept_the_least_busy_are_served(llama: Pair) -> None:
    """Within an ITL limit that a single busy adapter breaks."""
    configure = Configurator(llama, Objective()).configure
    seldom, busy = (configure(workload(rates)).expected for rates in (np.full(10, 0.001), np.ones(1)))
    limit_ms = seldom.margins["itl_ms"] * (seldom.itl_ms + busy.itl_ms) / 2
    asked = inventory(workload(np.repeat([0.001, 1.0], [10, 11])))
    answer = recommend(asked, llama, Objective(ObjectiveName.LATENCY, itl_limit=Limit(limit_ms / 1e3)))
    assert set(answer.admission.admitted) == {f"a-{i}" for i in range(10)}
    assert answer.admission.principle.startswith("those that bring the least come first")


def test_adapters_below_half_of_what_is_served_keep_their_share(llama: Pair) -> None:
    """Each of the four busy ones brings 30 %: the mix is kept, and they are no giants."""
    answer = recommend(inventory(workload(np.repeat([0.02, 8.0], [50, 4]))), llama, Objective())
    assert 0 < len({"a-50", "a-51", "a-52", "a-53"} & set(answer.admission.admitted)) < 4
    assert "come after" not in answer.admission.principle


def test_of_giants_the_smaller_comes_first(llama: Pair) -> None:
    answer = recommend(inventory(workload(np.array([0.01] * 100 + [40.0, 25.0]))), llama, Objective())
    assert answer.admission.rejected == ("a-100",)


def test_a_giant_comes_first_where_that_serves_much_more(llama: Pair) -> None:
    answer = recommend(inventory(workload(np.array([0.1] * 60 + [22.0]))), llama, Objective())
    assert "a-60" in answer.admission.admitted
    assert answer.admission.adapters > 30
    assert "come before the others" in answer.admission.principle


def test_of_base_traffic_that_is_too_much_it_is_told_how_much_one_gpu_serves(llama: Pair) -> None:
    def beside(rate: float) -> Inventory:
        return inventory(replace(workload(np.full(4, 0.01)), base=workload(np.array([rate]))))

    reason = str(recommend(beside(200.0), llama, Objective()).reason)
    (told,) = re.findall(r"about ([\d.]+) of these 200 requests/s \(([\d,]+) tokens/s\): some (\d+) GPUs", reason)
    rate, tokens, gpus = told
    assert float(tokens.replace(",", "")) == pytest.approx(float(rate) * (223 + 196), rel=0.02)
    assert int(gpus) == math.ceil(200 / float(rate))
    assert recommend(beside(0.9 * float(rate)), llama, Objective()).feasible
    assert not recommend(beside(1.2 * float(rate)), llama, Objective()).feasible
