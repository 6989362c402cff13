"""Flags, admission, expectation and trace of a recommendation speak of the same set of adapters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.features.vector import measure
from advisor.inventory.inventory import Inventory
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.objective import Expectation, Objective, ObjectiveName
from advisor.recommend.recommend import recommend
from advisor.recommend.unlearned import unlearned
from advisor.zoo.pair import Pair
from advisor.zoo.predictor import load_predictor
from advisor.zoo.tree import load_tree
from tests.advisor import inventories
from tests.advisor.inventories import of
from tests.advisor.small_zoo import MAX_ADAPTERS, MAX_MODEL_LEN, random_mix
from twin.arrivals import Phase
from twin.service_level import Limit
from twin.settings import LORA_RANKS
from twin.workload import Workload

objectives = st.sampled_from(
    [
        Objective(),
        Objective(ObjectiveName.PUBLISHED),
        Objective(ObjectiveName.STEADY, ttft_limit=Limit(0.15)),
        Objective(ObjectiveName.LATENCY, itl_limit=Limit(0.05)),
    ]
)


def result(answer: Recommendation, output: str) -> float:
    """The last word of the trace on a number."""
    return [step.result for step in answer.trace if step.output == output][-1]


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), objectives)
def test_invariants(pair: Pair, seed: int, objective: Objective) -> None:
    inventory = inventories.random(seed)
    answer = recommend(inventory, pair, objective)
    admission, flags, expected = answer.admission, answer.settings, answer.expected
    assert sorted((*admission.admitted, *admission.rejected)) == sorted(inventory.names)
    assert answer.feasible == (answer.reason is None) == (admission.adapters > 0)
    if flags is None or expected is None:
        assert flags is expected is None
        assert answer.args == []
        return
    admitted = inventory.only(admission.admitted).mix
    assert admission.request_rate == pytest.approx(admitted.rate.sum())
    assert admission.token_rate == pytest.approx(admitted.offered_tok_s)
    assert admission.adapters <= min(len(inventory), result(answer, "admission_limit"))
    assert bool(admission.rejected) == bool(admission.principle)

    assert 1 <= flags.max_loras <= admission.adapters <= flags.max_cpu_loras
    assert flags.max_lora_rank in LORA_RANKS
    assert flags.max_lora_rank >= admitted.rank.max()
    memory = pair.profile.memory
    capacity = memory.kv_capacity_tokens(flags.max_loras, flags.max_lora_rank, flags.gpu_memory_utilization)
    assert MAX_MODEL_LEN <= capacity == expected.kv_capacity_tokens

    values = measure(admitted, pair.profile, ttft_limit_s=objective.ttft_limit_s, max_loras=flags.max_loras)
    predict = load_predictor(pair.models, objective.trees)
    predicted = predict(values)
    told = (expected.itl_ms, expected.ttft_ms, expected.chance, predicted.percentiles)
    for ours, theirs in zip((predicted.itl_ms, predicted.ttft_ms, predicted.chance), told, strict=False):
        assert ours == pytest.approx(theirs, rel=1e-9)
    assert predicted.percentiles == pytest.approx(expected.percentiles)
    assert expected.share >= max(predicted.share, 0.9)
    assert expected.chance >= expected.required_chance == predict.required
    assert objective.misses(expected) == []
    assert answer.steady == (not expected.starved and expected.ttft_ms <= 1000 * objective.ttft_limit.seconds)

    assert result(answer, "adapters") == admission.adapters
    assert result(answer, "max_loras") == flags.max_loras
    assert result(answer, "max_lora_rank") == flags.max_lora_rank
    if not any("left out" in warning for warning in answer.warnings):
        whole = measure(inventory.mix, pair.profile, ttft_limit_s=objective.ttft_limit_s)
        decision = load_tree(pair.models, objective.trees, "load_limit")(whole)
        assert answer.trace[0].rule == decision.rule
        assert answer.trace[0].result == pytest.approx(decision.value)  # sums in another order
    served = measure(admitted, pair.profile, ttft_limit_s=objective.ttft_limit_s)
    slots = load_tree(pair.models, objective.trees, "max_loras")(served)
    asked = next(step for step in answer.trace if step.output == "max_loras")
    assert asked.rule[: len(slots.rule)] == slots.rule
    assert asked.result == min(round(slots.value), admission.adapters)


def uniform(n: int, rate: float, rank: int = 16, tokens: float = 100.0) -> Workload:
    """Adapters all alike."""
    ones = np.ones(n)
    return Workload(rank * ones, rate * ones, *(tokens * ones for _ in range(4)), ones)


def test_base_traffic_is_served_first_and_is_no_adapter(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(3), 400)
    alone = recommend(of(mix), pair, Objective())
    tokens = mix.input_mean.mean() + mix.output_mean.mean()
    capacity = alone.admission.token_rate
    admitted = [alone.admission.adapters]
    for share in (0.2, 0.5):
        base = replace(mix.take(np.array([0])), rate=np.array([share * capacity / tokens]))
        answer = recommend(of(replace(mix, base=base)), pair, Objective())
        admission, expected = answer.admission, answer.expected
        admitted.append(admission.adapters)
        assert expected is not None
        assert admission.base_request_rate == pytest.approx(base.rate[0])
        served = mix.take(np.array([int(name.removeprefix("adapter-")) for name in admission.admitted]))
        assert admission.token_rate == pytest.approx(served.offered_tok_s)
        assert admission.request_rate == pytest.approx(served.rate.sum())
        assert expected.throughput_tok_s == pytest.approx(admission.token_rate + admission.base_token_rate, rel=0.1)
        assert answer.document()["admission"]["base"]["token_rate"] == pytest.approx(base.offered_tok_s, abs=0.001)
        assert any("base_share" in warning for warning in answer.warnings)
    assert admitted[0] > admitted[1] > admitted[2] > 0


def test_base_traffic_beyond_the_gpu_leaves_nothing_to_admit(pair: Pair) -> None:
    answer = recommend(of(replace(uniform(10, 0.1), base=uniform(1, 1e3))), pair, Objective())
    assert not answer.feasible
    assert answer.reason.startswith(
        "requests that name no adapter bring 200,000 tokens/s, alone more than one GPU serves, which is about "
    )


def before_base_and_prefixes(pair: Pair) -> Pair:
    """The pair as if its models had been trained on neither."""
    new = ("base_share", "prefix_share")
    known = {name: ends for name, ends in pair.models.manifest.range.items() if name not in new}
    manifest = pair.models.manifest.model_copy(update={"range": known})
    return replace(pair, models=replace(pair.models, manifest=manifest))


def test_a_pair_that_never_saw_base_traffic_says_so(pair: Pair) -> None:
    older = before_base_and_prefixes(pair)
    inventory = of(replace(uniform(10, 0.1), base=uniform(1, 0.5)))
    (told,) = (each for each in recommend(inventory, older, Objective()).warnings if "no adapter" in each)
    assert told.startswith("the models were not trained on requests that name no adapter, here 100 of 300 tokens/s")
    assert not any("no adapter" in each for each in recommend(of(uniform(10, 0.1)), older, Objective()).warnings)


def test_what_lora_costs(pair: Pair) -> None:
    answer = recommend(of(uniform(60, 0.1)), pair, Objective())
    assert answer.expected is not None
    assert answer.without_lora is not None
    step = pair.profile.step
    plain_ms = step.base_ms - step.lora_base_ms
    assert 0.97 * plain_ms <= answer.without_lora.itl_ms < answer.expected.itl_ms
    assert answer.without_lora.load_ratio > 1
    assert answer.document()["without_lora"]["load_ratio"] == pytest.approx(answer.without_lora.load_ratio, abs=0.001)


def test_the_same_inventory_has_the_same_answer(pair: Pair) -> None:
    inventory = of(random_mix(np.random.default_rng(5), 200))
    assert recommend(inventory, pair, Objective()) == recommend(inventory, pair, Objective())


def test_admission_follows_the_load_limit(pair: Pair) -> None:
    """Adapters twice as busy: about half as many of them."""
    few, many = (recommend(of(uniform(256, rate)), pair, Objective()).admission for rate in (0.4, 0.2))
    assert few.adapters == pytest.approx(many.adapters / 2, rel=0.1)
    assert few.adapters < 128


def test_each_objective_asks_its_own_trees(pair: Pair) -> None:
    """The published rule is the more generous one; the others start from the steady trees."""
    inventory = of(uniform(256, 0.4))
    limits = {name: result(recommend(inventory, pair, Objective(name)), "load_limit") for name in ObjectiveName}
    assert limits[ObjectiveName.PUBLISHED] > limits[ObjectiveName.STEADY] == limits[ObjectiveName.LATENCY]


def test_the_ttft_limit_is_a_feature(pair: Pair) -> None:
    answer = recommend(inventories.random(3), pair, Objective(ttft_limit=Limit(5.0)))
    assert "ttft_limit is 5 s, outside the 2 to 2 of the training data" in answer.warnings


def test_more_adapters_than_were_simulated_are_told(pair: Pair) -> None:
    """Their number alone says nothing: the load does."""
    answer = recommend(of(uniform(1000, 0.005)), pair, Objective())
    assert answer.admission.adapters == 1000 > MAX_ADAPTERS
    assert any(warning.startswith("adapters is 1000 ") for warning in answer.warnings)


def test_one_adapter_that_is_too_busy(pair: Pair) -> None:
    answer = recommend(of(uniform(3, 500.0)), pair, Objective())
    assert not answer.feasible
    assert "more than one GPU serves" in str(answer.reason)
    assert answer.admission.rejected == ("adapter-0", "adapter-1", "adapter-2")
    assert [step.output for step in answer.trace] == ["load_limit", "admission_limit"]


def with_context(pair: Pair, max_model_len: int) -> Pair:
    """The pair, had its model longer sequences."""
    memory = pair.profile.memory.model_copy(update={"max_model_len": max_model_len})
    return replace(pair, profile=pair.profile.model_copy(update={"memory": memory}))


def test_memory_takes_slots_away(pair: Pair) -> None:
    """40,000 KV tokens, 128 per slot of rank 64: with 39,000 left for a request, 7 slots."""
    mix, long = uniform(60, 0.1, rank=64), with_context(pair, 39_000)
    answer = recommend(of(mix, max_model_len=39_000), long, Objective())
    assert answer.settings is not None
    assert answer.settings.max_loras == 7
    assert recommend(of(mix), long, Objective()).flags["max_loras"] > 7, "nobody asked for a request that long"
    guard = answer.trace[-1]
    assert guard.output == "max_loras"
    assert guard.rule == (
        "max_loras 8, rank 64: KV cache 38976 tokens < max_model_len 39000",
        "max_loras 7, rank 64: KV cache 39104 tokens >= max_model_len 39000",
    )
    assert any("memory allows only 7 adapter slots" in warning for warning in answer.warnings)


def test_a_server_that_cannot_start_is_never_recommended(pair: Pair) -> None:
    inventory = replace(of(uniform(4, 0.1, rank=512)), fixed={"max_model_len": 39_500})
    answer = recommend(inventory, with_context(pair, 39_500), Objective())
    assert not answer.feasible
    assert "max_loras 1, rank 512: KV cache 38976 tokens < max_model_len 39500" in str(answer.reason)
    assert answer.trace[-1].result == 0


def test_coherence_cuts_to_what_the_predictor_calls_good(pair: Pair) -> None:
    inventory = of(uniform(200, 0.05))
    free = recommend(inventory, pair, Objective(ObjectiveName.LATENCY))
    tight = recommend(inventory, pair, Objective(ObjectiveName.LATENCY, itl_limit=Limit(0.04)))
    assert free.expected is not None
    assert tight.expected is not None
    assert free.expected.itl_ms > 40 >= tight.expected.itl_ms
    assert 0 < tight.admission.adapters < free.admission.adapters
    cut = [step for step in tight.trace if step.output == "admission_limit"][-1]
    assert cut.rule[0].startswith(f"with {tight.admission.adapters + 1}: ITL ")
    assert cut.result == tight.admission.adapters


def test_the_size_goes_beyond_the_rules_where_the_models_are_sure(pair: Pair) -> None:
    """The rules know the mix only roughly; one more than admitted would miss, or there are no more."""
    for seed in range(8):
        inventory = of(random_mix(np.random.default_rng(seed), 250))
        answer = recommend(inventory, pair, Objective())
        (last,) = [step for step in answer.trace if step.output == "admission_limit"][-1:]
        assert answer.admission.adapters == min(last.result, 250)
        if answer.admission.adapters < 250:
            assert last.rule[0].startswith(f"with {answer.admission.adapters + 1}: ")


def test_limits_nobody_can_meet(pair: Pair) -> None:
    answer = recommend(of(uniform(20, 0.05)), pair, Objective(ObjectiveName.LATENCY, itl_limit=Limit(0.001)))
    assert not answer.feasible
    assert "not even one adapter" in str(answer.reason)


def test_extrapolation_is_told(pair: Pair) -> None:
    answer = recommend(of(uniform(10, 0.01, tokens=900.0)), pair, Objective())
    assert any(warning.startswith("input_mean is 900 tokens per request, outside the") for warning in answer.warnings)
    assert not recommend(of(random_mix(np.random.default_rng(1), 60)), pair, Objective()).warnings


def test_settings_in_force_are_compared(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(1), 60)
    flags = recommend(of(mix), pair, Objective()).settings
    assert flags is not None
    inventory = of(mix, max_loras=1, max_lora_rank=flags.max_lora_rank)
    (change,) = recommend(inventory, pair, Objective()).changes
    assert (change.name, change.today, change.recommended) == ("max_loras", 1, flags.max_loras)


def test_limits_must_make_sense() -> None:
    with pytest.raises(InputError, match="an ITL limit belongs to the objective latency"):
        Objective(ObjectiveName.STEADY, itl_limit=Limit(0.05))


def test_the_answer_does_not_depend_on_the_order_of_the_file(pair: Pair) -> None:
    inventory: Inventory = inventories.random(11)
    back = np.arange(len(inventory))[::-1]
    other = replace(inventory, names=inventory.names[::-1], workload=inventory.workload.take(back))
    ours, theirs = (recommend(each, pair, Objective()) for each in (inventory, other))
    assert set(ours.admission.admitted) == set(theirs.admission.admitted)
    assert ours.flags == theirs.flags


def test_traffic_that_was_not_learned_is_answered_by_its_busiest_minute_with_a_warning(pair: Pair) -> None:
    plain = of(uniform(60, 0.1))
    phases = (Phase(300, scale=0.5), Phase(300, scale=1.5, cv=2.0, lognormal=True))
    alike = np.full(60, 9, dtype=np.int32)
    traffic = replace(plain.workload, phases=phases, lognormal_gaps=np.arange(60) < 7, shared_prefix=alike)
    switching = replace(plain, workload=traffic)
    older = before_base_and_prefixes(pair)
    busiest = replace(traffic, rate=1.5 * traffic.rate, cv=np.full(60, 2.0), phases=(), shared_prefix=None)
    log_normal = replace(plain, workload=replace(busiest, lognormal_gaps=np.ones(60, dtype=np.bool_)))
    asked, answer = (recommend(each, older, Objective()) for each in (log_normal, switching))
    assert answer.flags == asked.flags
    assert answer.admission == asked.admission
    gaps, prefixes, rates = answer.warnings[len(asked.warnings) - 1 :]
    assert gaps.startswith("gaps are log-normal for 60 adapters, which the models were not trained on: they count as")
    assert prefixes.startswith("prompts begin alike (shared_prefix), which the models were not trained on")
    assert "the busiest minute, which brings 1.5 times the mean" in rates


@pytest.mark.parametrize(
    ("phases", "told"),
    [
        ((Phase(600, scale=1000.0),), []),
        ((Phase(600), Phase(600, cv=2.0)), ["which brings no more than the mean"]),
        ((Phase(100_000), Phase(60, scale=300.0)), ["which brings 254 times the mean"]),
    ],
)
def test_what_the_busiest_minute_brings_is_told_in_words(
    pair: Pair, phases: tuple[Phase, ...], told: list[str]
) -> None:
    warnings = unlearned(replace(uniform(6, 0.0001), phases=phases), pair)
    assert [part for each in warnings for part in each.split(", ") if part.startswith("which brings")] == told


def test_who_starves_is_for_the_chance_to_say() -> None:
    sure = Expectation(88.0, 0.88, 40.0, 63.0, 200_000, chance=0.993, required_chance=0.92)
    assert Objective().misses(sure) == []
    assert not sure.starved
    unsure = replace(sure, chance=0.5)
    assert Objective().misses(unsure) == ["chance of a steady hour 50.0%, below 92%"]
    assert unsure.starved
    assert not Objective().steady(unsure)


def test_an_itl_limit_is_kept_with_a_margin() -> None:
    """The expected ITL is a mean over hours that differ; a limit that half of them pass is not kept."""
    tight = Objective(ObjectiveName.LATENCY, itl_limit=Limit(0.05))
    near = Expectation(88.0, 1.0, 48.0, 63.0, 200_000, chance=0.99, required_chance=0.92, margins={"itl_ms": 1.1})
    assert tight.misses(near) == ["ITL 48.00 ms, in one of 20 hours 52.80 ms > 50 ms"]
    assert not tight.misses(replace(near, margins={"itl_ms": 1.02}))


def test_a_simulated_hour_is_held_to_every_limit() -> None:
    hour = {"oom": False, "starved": False, "steady": True, "ttft_ms": 150.0, "itl_ms": 52.0}
    latency = Objective(ObjectiveName.LATENCY, itl_limit=Limit(0.05))
    assert latency.missed_by(hour) == ["ITL 52.0 ms > 50 ms"]
    assert Objective().missed_by(hour) == []
    assert Objective(ttft_limit=Limit(0.1)).missed_by(hour) == ["TTFT 150.0 ms > 100 ms"]
    assert Objective(ObjectiveName.PUBLISHED, ttft_limit=Limit(0.1)).missed_by(hour) == []
    assert Objective().missed_by({**hour, "starved": True}) == ["requests starve"]
    assert Objective().missed_by({**hour, "ttft_ms": None}) == []
