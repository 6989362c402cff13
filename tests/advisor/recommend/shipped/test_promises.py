"""What is promised is kept: throughput where a few are busy, and a KV cache on a part of a GPU."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.zoo.pair import Pair
from tests.advisor.recommend.shipped.questions import inventory, served, workload
from twin.service_level import Limit
from twin.workload import Workload


@settings(max_examples=25, deadline=None)
@given(
    rates=st.lists(st.floats(0.2, 15.0), min_size=1, max_size=4),
    lengths=st.sampled_from([(223.0, 191.0, 196.0, 181.0), (1000.0, 500.0, 50.0, 40.0), (50.0, 20.0, 800.0, 300.0)]),
)
def test_steady_is_not_said_beside_a_throughput_below_the_offer(
    llama: Pair, rates: list[float], lengths: tuple[float, ...]
) -> None:
    """A few busy adapters: the number is as right as the word."""
    answer = recommend(inventory(workload(np.array(rates), lengths=lengths)), llama, Objective())
    if answer.expected is not None:
        assert answer.steady
        assert answer.expected.throughput_tok_s >= 0.97 * answer.admission.token_rate


@pytest.mark.parametrize(
    ("mix", "utilization", "least"),
    [
        (workload(np.full(24, 0.03), lengths=(3000.0, 1700.0, 250.0, 200.0)), 0.45, 24),
        (workload(np.full(24, 0.15), lengths=(3000.0, 1700.0, 250.0, 200.0)), 0.45, 5),
        (workload(np.full(24, 0.15), lengths=(3000.0, 1700.0, 250.0, 200.0)), 0.6, 10),
        (workload(np.full(128, 0.058)), 0.45, 90),
    ],
)
def test_on_a_shared_gpu_what_is_in_flight_fits_into_the_kv_cache(
    llama: Pair, mix: Workload, utilization: float, least: int
) -> None:
    """Less memory than vLLM's default is neither refused nor promised."""
    asked = inventory(mix, fixed={"gpu_memory_utilization": utilization})
    answer = recommend(asked, llama, Objective())
    assert answer.admission.adapters >= least
    assert served(answer, asked, llama).steady()


def test_who_can_tell_is_named_where_the_models_rather_hold_that_an_adapter_would_do(llama: Pair) -> None:
    """One that they were 90 % sure of was refused in plain words, and the twin served nine."""
    asked, seen = inventory(workload(np.full(20, 0.02), lengths=(9000.0, 4000.0, 50.0, 40.0))), set[bool]()
    for limit_s in np.geomspace(0.25, 0.8, 24):
        reason = str(recommend(asked, llama, Objective(ttft_limit=Limit(float(limit_s)))).reason)
        if found := re.search(r"with 1, .*chance of a steady hour ([0-9.]+)%", reason):
            told = reason.endswith("the digital twin can tell")
            assert told == (float(found[1]) >= 50)
            seen.add(told)
    assert seen == {False, True}
