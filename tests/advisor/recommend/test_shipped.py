"""What the shipped pairs answer to inventories of shapes that once got wrong answers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.features.vector import measure
from advisor.inventory.inventory import Inventory
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.choice.configuration import Configurator
from advisor.recommend.objective import Objective, ObjectiveName
from advisor.recommend.recommend import recommend
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import find_pair
from twin.engine.simulation import Measures, simulate
from twin.service_level import Limit
from twin.workload import Workload


@pytest.fixture(scope="module")
def llama() -> Pair:
    return find_pair("llama-3.1-8b-instruct", "h100-64gb")


def workload(
    rates: np.ndarray, ranks: float | np.ndarray = 16, lengths: tuple[float, ...] = (223, 191, 196, 181)
) -> Workload:
    ones = np.ones(len(rates))
    return Workload(ranks * ones, rates * ones, *(length * ones for length in lengths), ones)


def inventory(mix: Workload, **further: dict[str, float]) -> Inventory:
    names = tuple(f"a-{i}" for i in range(len(mix)))
    return Inventory(
        "llama-3.1-8b-instruct",
        "h100-64gb",
        names,
        (None,) * len(mix),
        mix,
        further.get("server", {}),
        further.get("fixed", {}),
    )


def served(answer: Recommendation, asked: Inventory, pair: Pair, *, traffic: float = 1.0) -> Measures:
    """What the engine makes of the answer, with so many times the traffic: the front end's stalls left out, for slots
    cannot help them."""
    assert answer.settings is not None
    admitted = asked.only(answer.admission.admitted).workload
    front_end = pair.profile.front_end.model_copy(update={"stall_every_s": 0.0})
    return simulate(
        pair.profile.model_copy(update={"front_end": front_end}),
        answer.settings,
        replace(admitted, rate=traffic * admitted.rate),
        seed=3,
    )


@pytest.mark.parametrize(("adapters", "rate"), [(3000, 0.001), (100_000, 0.00005)])
def test_thousands_of_adapters_that_are_hardly_asked_are_all_served(llama: Pair, adapters: int, rate: float) -> None:
    asked = inventory(workload(np.full(adapters, rate)))
    answer = recommend(asked, llama, Objective())
    assert answer.admission.adapters == adapters
    assert answer.settings is not None
    assert answer.settings.max_loras >= 16
    assert served(answer, asked, llama).steady()


FEW_SLOTS = pytest.mark.xfail(
    strict=True, reason="steady, but one request in a hundred waits for a slot: strong bursts of busy adapters"
)


@pytest.mark.parametrize(
    ("adapters", "rate", "cv"),
    [pytest.param(2000, 0.005, 4.0, marks=FEW_SLOTS), (3000, 0.002, 2.0), (100_000, 0.00005, 6.0)],
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
        ("qwen2.5-7b-instruct", 300, 0.008, 6.0, 512),  # memory
        ("llama-3.1-8b-instruct", 4, 0.1, 1.0, 8),  # the adapters that there are
    ],
)
def test_spare_slots_cost_little(model: str, adapters: int, rate: float, cv: float, rank: int) -> None:
    pair = find_pair(model, "h100-64gb")
    mix = replace(workload(np.full(adapters, rate), rank), cv=np.full(adapters, cv))
    answer = recommend(inventory(mix), pair, Objective())
    rules, spare = (int(step.result) for step in answer.trace if step.output == "max_loras")
    assert rules < spare <= adapters == answer.admission.adapters
    before, after = (measure(mix, pair.profile, ttft_limit_s=2.0, max_loras=slots) for slots in (rules, spare))
    assert after["step_time"] <= 1.025 * before["step_time"]
    memory = pair.profile.memory
    left, whole = (memory.kv_capacity_tokens(slots, rank, 0.9) for slots in (spare, rules))
    assert left >= 0.5 * whole


def test_bursts_of_busy_adapters_stay_bursts(llama: Pair) -> None:
    """Beside thousands that are asked seldom, whose bursts the models do not know."""
    rates, cv = np.repeat([0.3, 0.0001], [20, 20_000]), np.repeat([6.0, 3.0], [20, 20_000])
    configured = Configurator(llama, Objective()).configure(replace(workload(rates), cv=cv))
    assert configured.values["cv_mean"] == pytest.approx((6.0 * 6.0 + 2.0 * 1.0) / 8.0)


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


def test_a_giant_does_not_decide_for_the_others(llama: Pair) -> None:
    rates = np.array([0.05] * 50 + [50.0] + [0.05] * 50)
    answer = recommend(inventory(workload(rates)), llama, Objective())
    assert answer.admission.adapters == 100
    assert answer.admission.rejected == ("a-50",)
    assert "come after the others" in answer.admission.principle


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


LONG_ON_LITTLE = pytest.mark.xfail(
    strict=True, reason="the models admit too many with prompts of 3,000 tokens and little memory: requests wait"
)


@pytest.mark.parametrize(
    ("mix", "utilization", "least"),
    [
        (workload(np.full(24, 0.03), lengths=(3000.0, 1700.0, 250.0, 200.0)), 0.45, 24),
        pytest.param(
            workload(np.full(24, 0.15), lengths=(3000.0, 1700.0, 250.0, 200.0)), 0.45, 5, marks=LONG_ON_LITTLE
        ),
        pytest.param(
            workload(np.full(24, 0.15), lengths=(3000.0, 1700.0, 250.0, 200.0)), 0.6, 10, marks=LONG_ON_LITTLE
        ),
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


def test_a_setting_fixed_at_what_the_models_know_changes_nothing(llama: Pair) -> None:
    mix = workload(np.full(300, 0.1))
    free, fixed = (
        recommend(inventory(mix, fixed=settings), llama, Objective())
        for settings in ({}, {"gpu_memory_utilization": 0.9, "max_num_seqs": 2048})
    )
    assert (fixed.flags, fixed.admission, fixed.warnings) == (free.flags, free.admission, free.warnings)


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


def test_idle_adapters_cost_host_memory_alone(llama: Pair) -> None:
    busy = recommend(inventory(workload(np.full(40, 0.1))), llama, Objective())
    both = recommend(inventory(workload(np.array([0.1] * 40 + [0.0] * 500))), llama, Objective())
    assert both.admission.adapters == 540
    assert both.flags == {**busy.flags, "max_cpu_loras": 540}
    assert both.expected == busy.expected


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


def test_idle_adapters_take_their_places_in_host_memory_and_slots_of_their_rank(llama: Pair) -> None:
    rates, ranks = np.repeat([0.02, 0.0], [100, 20]), np.repeat([8.0, 64.0], [100, 20])
    idle = {f"a-{i}" for i in range(100, 120)}
    for room, with_room in ((50, 0), (110, 10), (200, 20)):
        host = recommend(inventory(workload(rates, 8), fixed={"max_cpu_loras": room}), llama, Objective())
        assert host.admission.adapters == min(room, 120) <= host.flags["max_cpu_loras"]
        assert len(idle & set(host.admission.admitted)) == with_room, "who is asked comes first"
    slots = recommend(inventory(workload(rates, ranks)), llama, Objective())
    assert slots.admission.adapters == 120
    assert slots.flags["max_lora_rank"] == 64


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


def test_one_request_in_a_hundred_that_does_not_fit_is_told(llama: Pair) -> None:
    """Log-normal lengths of 1,000 tokens and half as much again beside a limit of 2,800."""
    asked = inventory(workload(np.full(20, 0.05), lengths=(900.0, 450.0, 100.0, 30.0)), server={"max_model_len": 2800})
    answer = recommend(asked, llama, Objective())
    assert answer.flags["max_model_len"] > 2800
    assert any("of the requests do not fit into max_model_len 2,800" in each for each in answer.warnings)
