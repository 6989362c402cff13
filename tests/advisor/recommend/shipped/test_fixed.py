"""Settings that must stay."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.errors import InputError
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.zoo.pair import Pair
from tests.advisor.recommend.shipped.questions import inventory, served, workload


def test_a_setting_fixed_at_what_the_models_know_changes_nothing(llama: Pair) -> None:
    mix = workload(np.full(300, 0.1))
    free, fixed = (
        recommend(inventory(mix, fixed=settings), llama, Objective())
        for settings in ({}, {"gpu_memory_utilization": 0.9, "max_num_seqs": 2048})
    )
    assert (fixed.flags, fixed.admission, fixed.warnings) == (free.flags, free.admission, free.warnings)


@pytest.mark.parametrize(
    ("today", "fixed", "told"), [(0.8, {}, True), (0.8, {"gpu_memory_utilization": 0.8}, False), (0.95, {}, False)]
)
def test_memory_that_something_else_may_need_is_not_taken_untold(
    today: float, fixed: dict[str, float], told: bool, llama: Pair
) -> None:
    asked = inventory(workload(np.full(20, 0.05)), server={"gpu_memory_utilization": today}, fixed=fixed)
    warnings = recommend(asked, llama, Objective()).warnings
    assert any("something else needs the rest" in each for each in warnings) == told


def test_a_small_batch_that_is_fixed_is_not_overfilled(llama: Pair) -> None:
    mix = workload(np.full(60, 0.1))
    few = inventory(mix, fixed={"max_num_seqs": 16})
    answer = recommend(few, llama, Objective())
    assert 0 < answer.admission.adapters < 60
    assert served(answer, few, llama).steady()


def test_fixed_settings_stay(llama: Pair) -> None:
    fixed = {"max_loras": 24, "max_lora_rank": 32, "max_cpu_loras": 40, "gpu_memory_utilization": 0.7}
    answer = recommend(inventory(workload(np.full(60, 0.02)), fixed=fixed), llama, Objective())
    assert {name: answer.flags[name] for name in fixed} == fixed
    assert answer.admission.adapters == 40
    assert any("no more than 40 adapters" in each for each in answer.warnings)
    roomy = recommend(
        inventory(workload(np.full(60, 0.02)), fixed={"max_loras": 24, "max_lora_rank": 32}), llama, Objective()
    )
    assert answer.expected is not None
    assert roomy.expected is not None
    assert answer.expected.kv_capacity_tokens < roomy.expected.kv_capacity_tokens


def test_adapters_above_a_fixed_rank_are_rejected_by_name(llama: Pair) -> None:
    ranks = np.array([8.0] * 10 + [64.0])
    answer = recommend(inventory(workload(np.full(11, 0.05), ranks), fixed={"max_lora_rank": 16}), llama, Objective())
    assert answer.admission.rejected == ("a-10",)
    assert any(each.startswith("a-10 is left out: rank above the fixed max_lora_rank 16") for each in answer.warnings)


def test_settings_that_vllm_refuses_are_refused(llama: Pair) -> None:
    for fixed in ({"max_loras": 8, "max_cpu_loras": 4}, {"max_num_seqs": 4096, "max_num_batched_tokens": 2048}):
        with pytest.raises(InputError, match="vLLM refuses the fixed settings"):
            recommend(inventory(workload(np.full(8, 0.05)), fixed=fixed), llama, Objective())


def test_slots_that_are_fixed_stay_where_others_would_serve_more(llama: Pair) -> None:
    answer = recommend(inventory(workload(np.full(60, 0.1)), fixed={"max_loras": 2}), llama, Objective())
    assert answer.flags["max_loras"] == 2
    assert 0 < answer.admission.adapters < 20


def test_a_small_batch_that_is_fixed_admits_fewer(llama: Pair) -> None:
    mix = workload(np.full(100, 0.05))
    few = inventory(mix, fixed={"max_num_seqs": 8})
    answer = recommend(few, llama, Objective())
    assert 0 < answer.admission.adapters < 60
    assert served(answer, few, llama).steady()


def test_slots_of_a_larger_rank_take_the_time_and_the_memory_of_that_rank(llama: Pair) -> None:
    mix = workload(np.full(64, 0.05))
    large = inventory(mix, fixed={"max_loras": 8, "max_lora_rank": 64})
    answer = recommend(large, llama, Objective())
    hour = served(answer, large, llama)
    assert hour.steady()
    assert answer.expected is not None
    assert answer.expected.itl_ms == pytest.approx(hour.itl_ms, rel=0.1)
    needed = recommend(inventory(mix, fixed={"max_loras": 8}), llama, Objective())
    assert needed.admission.adapters > answer.admission.adapters
