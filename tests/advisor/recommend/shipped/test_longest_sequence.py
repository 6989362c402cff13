"""The longest sequence that a server takes: what it refuses, and what is recommended in its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.errors import InputError
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.zoo.pair import Pair
from tests.advisor.recommend.shipped.questions import inventory, served, workload


def test_a_limit_that_the_requests_do_not_fit_into_is_raised(llama: Pair) -> None:
    asked = inventory(workload(np.full(20, 0.05), lengths=(1500.0, 100.0, 300.0, 50.0)), server={"max_model_len": 1024})
    answer = recommend(asked, llama, Objective())
    assert answer.flags["max_model_len"] == 3072
    assert any("100.0% of the requests do not fit into max_model_len 1,024" in each for each in answer.warnings)
    assert served(answer, asked, llama).refused == 0


def test_a_limit_that_is_fixed_stays_and_what_it_refuses_is_told(llama: Pair) -> None:
    mix = workload(np.full(20, 0.05), lengths=(1500.0, 800.0, 300.0, 200.0))
    asked = inventory(mix, fixed={"max_model_len": 2048})
    answer = recommend(asked, llama, Objective())
    assert answer.flags["max_model_len"] == 2048
    assert answer.expected is not None
    measured = served(answer, asked, llama)
    assert answer.expected.refused_share == pytest.approx(measured.refused / measured.arrivals, abs=0.03)
    assert answer.expected.throughput_tok_s == pytest.approx(measured.throughput_tok_s, rel=0.1)
    assert answer.figures()["refused_share"] == pytest.approx(answer.expected.refused_share, abs=1e-4)
    seldom = replace(answer, expected=replace(answer.expected, refused_share=1e-5))
    assert "refused_share" not in seldom.figures(), "of one request in 100,000 nobody need be told"
    nothing = recommend(inventory(mix, fixed={"max_model_len": 16}), llama, Objective())
    assert not nothing.feasible
    assert nothing.reason == "no request fits into max_model_len 16"


def test_a_limit_above_the_models_own_is_not_recommended(llama: Pair) -> None:
    mix = workload(np.full(20, 0.05))
    answer = recommend(inventory(mix, server={"max_model_len": 200_000}), llama, Objective())
    assert "max_model_len" not in answer.flags
    assert any("max_model_len 200,000 is above the 131,072 tokens" in each for each in answer.warnings)
    with pytest.raises(InputError, match="max_model_len"):
        recommend(inventory(mix, fixed={"max_model_len": 200_000}), llama, Objective())


def test_on_a_part_of_a_gpu_the_longest_sequence_is_what_the_requests_need(llama: Pair) -> None:
    """With 0.45 of the memory not one request of the model's 131,072 tokens fits, and vLLM would not start."""
    mix = workload(np.full(40, 0.05))
    asked = inventory(mix, fixed={"gpu_memory_utilization": 0.45})
    answer = recommend(asked, llama, Objective())
    assert answer.admission.adapters == 40
    assert answer.flags["max_model_len"] == 3072
    assert any("less than max_model_len 131,072: 3,072 is recommended" in each for each in answer.warnings)
    measured = served(answer, asked, llama)
    assert measured.steady()
    assert measured.refused <= 0.002 * measured.arrivals
    fixed = inventory(mix, fixed={"gpu_memory_utilization": 0.45, "max_model_len": 131_072})
    assert "KV cache" in str(recommend(fixed, llama, Objective()).reason)
    assert "max_model_len" not in recommend(inventory(mix), llama, Objective()).flags


def test_one_request_in_a_hundred_that_does_not_fit_is_told(llama: Pair) -> None:
    """Log-normal lengths of 1,000 tokens and half as much again beside a limit of 2,800."""
    asked = inventory(workload(np.full(20, 0.05), lengths=(900.0, 450.0, 100.0, 30.0)), server={"max_model_len": 2800})
    answer = recommend(asked, llama, Objective())
    assert answer.flags["max_model_len"] > 2800
    assert any("of the requests do not fit into max_model_len 2,800" in each for each in answer.warnings)
