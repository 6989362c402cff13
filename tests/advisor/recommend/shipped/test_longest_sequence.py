"""The longest sequence that a server takes: what it refuses, and what is recommended in its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.errors import InputError
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.recommend.server.context import covering_len
from advisor.recommend.what_if.explore import explored
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import find_pair
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


def test_on_a_part_of_a_gpu_the_longest_sequence_is_what_memory_has_room_for(llama: Pair) -> None:
    """With 0.45 of the memory not one request of the model's 131,072 tokens fits, and vLLM would not start."""
    mix = workload(np.full(40, 0.05))
    asked = inventory(mix, fixed={"gpu_memory_utilization": 0.45})
    answer = recommend(asked, llama, Objective())
    assert answer.admission.adapters == 40
    assert answer.settings is not None and answer.expected is not None
    held, longest = answer.expected.kv_capacity_tokens, answer.settings.max_model_len
    assert answer.flags["max_model_len"] == longest
    assert 0.75 * held < longest <= 0.8 * held, "requests need 3,072 tokens; more costs nothing"
    (told,) = (each for each in answer.warnings if "131,072" in each)
    assert f"{held:,} tokens beside {answer.settings.max_loras} adapter slots" in told
    assert f"{longest:,} is recommended" in told
    assert "your requests need 3,072" in told
    measured = served(answer, asked, llama)
    assert measured.steady()
    assert measured.refused == 0
    assert "refused_share" not in answer.figures()
    same = recommend(inventory(mix, fixed={"gpu_memory_utilization": 0.45, "max_model_len": 3072}), llama, Objective())
    assert (same.settings, same.flags["max_model_len"]) == (replace(answer.settings, max_model_len=3072), 3072)
    assert same.expected is not None
    assert replace(same.expected, refused_share=0.0) == answer.expected
    fixed = inventory(mix, fixed={"gpu_memory_utilization": 0.45, "max_model_len": 131_072})
    assert "KV cache" in str(recommend(fixed, llama, Objective()).reason)
    assert "max_model_len" not in recommend(inventory(mix), llama, Objective()).flags


def test_a_limit_in_force_is_not_exceeded_where_memory_has_room_for_more(llama: Pair) -> None:
    asked = inventory(
        workload(np.full(40, 0.05)), fixed={"gpu_memory_utilization": 0.45}, server={"max_model_len": 100_000}
    )
    assert recommend(asked, llama, Objective()).flags["max_model_len"] < 60_000
    asked = replace(asked, server={"max_model_len": 20_000})
    assert recommend(asked, llama, Objective()).flags["max_model_len"] == 20_000


def test_requests_that_need_nearly_all_of_the_kv_cache_get_no_less(llama: Pair) -> None:
    """Prompts of 35,000 tokens and more beside a cache of some 60,000: four fifths would refuse some."""
    mix = workload(np.full(4, 0.001), lengths=(35_000.0, 8_000.0, 300.0, 100.0))
    answer = recommend(inventory(mix, fixed={"gpu_memory_utilization": 0.45}), llama, Objective())
    assert answer.settings is not None and answer.expected is not None
    needed = covering_len(mix)
    assert 0.8 * answer.expected.kv_capacity_tokens < needed == answer.settings.max_model_len
    (told,) = (each for each in answer.warnings if "131,072" in each)
    assert f"{needed:,} is recommended, which your requests need" in told


def test_of_a_pair_that_nobody_measured_the_careful_end_of_the_kv_cache_decides() -> None:
    mix = workload(np.full(8, 0.05))
    asked = replace(inventory(mix), gpu="rtx-4090")
    answer = recommend(asked, find_pair(asked.model, asked.gpu), Objective())
    low, high = answer.figures()["kv_capacity_tokens_range"]
    assert 0.8 * low - 1024 < answer.flags["max_model_len"] <= 0.8 * low
    assert answer.flags["max_model_len"] < 0.8 * high - 1024


def test_one_request_in_a_hundred_that_does_not_fit_is_told(llama: Pair) -> None:
    """Log-normal lengths of 1,000 tokens and half as much again beside a limit of 2,800."""
    asked = inventory(workload(np.full(20, 0.05), lengths=(900.0, 450.0, 100.0, 30.0)), server={"max_model_len": 2800})
    answer = recommend(asked, llama, Objective())
    assert answer.flags["max_model_len"] > 2800
    assert any("of the requests do not fit into max_model_len 2,800" in each for each in answer.warnings)


@pytest.mark.parametrize("ranks", [[16.0] * 10, [8.0] * 2 + [256.0] * 8])
def test_a_limit_that_nobody_asked_for_leaves_room_for_slots(llama: Pair, ranks: list[float]) -> None:
    """Memory for 131,072 tokens and three slots of rank 16, but no slot of rank 256."""
    memory = llama.profile.memory
    share = memory.gpu_memory_utilization - (memory.kv_tokens_base - 134_000) / memory.kv_tokens_per_utilization
    mix = workload(np.full(10, 0.2), ranks=np.array(ranks))
    asked = inventory(mix, fixed={"gpu_memory_utilization": share})
    answer = recommend(asked, llama, Objective())
    assert answer.admission.adapters == 10
    assert answer.expected is not None
    assert 0.75 * answer.expected.kv_capacity_tokens < answer.flags["max_model_len"] < 131_072
    told = replace(asked, server={"max_model_len": 131_072})
    assert "max_model_len" not in recommend(told, llama, Objective()).flags, "what is in force stays where it can"


def test_of_a_derived_pair_too_the_figures_are_of_what_is_not_refused() -> None:
    """More than half of the requests are longer than the model takes; "starved" was said beside a steady admission."""
    mix = workload(np.full(40, 0.05), lengths=(5000.0, 3000.0, 150.0, 100.0))
    asked = replace(inventory(mix), model="microsoft/Phi-3-mini-4k-instruct", gpu="l4")
    pair = find_pair(asked.model, asked.gpu)
    answer = recommend(asked, pair, Objective())
    assert answer.expected is not None and answer.expected.refused_share > 0.4
    assert answer.steady and not answer.expected.starved
    measured = served(answer, asked, pair)
    assert answer.expected.throughput_tok_s == pytest.approx(measured.throughput_tok_s, rel=0.1)
    low, high = answer.figures()["itl_ms_range"]
    assert low < measured.itl_ms < high


def test_where_every_request_is_refused_nothing_is_said_of_others_or_to_help(llama: Pair) -> None:
    asked = inventory(workload(np.full(40, 0.05)), fixed={"max_model_len": 8})
    answer = explored(asked, llama, Objective(), recommend(asked, llama, Objective()))
    assert not answer.feasible
    assert any(each.endswith("and vLLM refuses them") for each in answer.warnings)
    assert not any("half as long" in lever.change for lever in answer.levers)
