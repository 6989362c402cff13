"""The estimate obeys its own equations and limits, and foretells what the twin then simulates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.features.batches import Prompts, eager_tokens, steps_with
from advisor.features.estimate import estimate, estimate_slots, estimates
from advisor.features.served_mix import ServedMix
from tests.advisor.small_zoo import profile
from twin.engine.latency import StepWork, step_cost, step_ms
from twin.engine.simulation import Measures, simulate
from twin.profile import Profile
from twin.settings import Settings
from twin.workload import Workload, draw

PROFILE = profile().model_copy(
    update={
        "memory": profile().memory.model_copy(update={"kv_tokens_base": 300_000.0, "kv_tokens_per_slot_rank": 40.0})
    }
)


def alike(count: int, *, rate: float, rank: float = 16, prompt: float = 220, answer: float = 190) -> Workload:
    """Adapters all alike."""
    values = (rank, rate, prompt, prompt, answer, answer, 1.0)
    return Workload(*(np.full(count, value) for value in values))


def test_steps_last_as_long_as_the_twin_says_of_the_same_batch() -> None:
    """With a slot for every adapter nothing is loaded, and the equilibrium is a fixed point of the twin's step."""
    count, rate, prompt, answer = 60, 0.2, 220.0, 190.0
    state = estimate_slots(ServedMix(alike(count, rate=rate), PROFILE), [count])[0].serving(count)
    arrivals_per_step = count * rate * state.step_ms / 1e3
    running, prefill = arrivals_per_step * answer, arrivals_per_step * prompt
    cost = step_cost(PROFILE, count, 16)
    expected = step_ms.py_func(cost, StepWork(running, prefill, 0, state.active_adapters, 0))
    assert state.step_ms == pytest.approx(expected, rel=0.02)


def test_requests_that_arrive_take_the_time_of_steps() -> None:
    mix, scheduling = alike(60, rate=0.2), PROFILE.scheduling.model_copy(update={"per_arrival_ms": 8.0})
    before, after = (
        estimate_slots(ServedMix(mix, profile), [60])[0].serving(60)
        for profile in (PROFILE, PROFILE.model_copy(update={"scheduling": scheduling}))
    )
    assert after.step_ms > before.step_ms + 8.0 * 60 * 0.2 * before.step_ms / 1e3


@given(
    count=st.integers(1, 400),
    rate=st.floats(1e-4, 50),
    spread=st.floats(0, 2),
    prompt=st.floats(1, 20_000),
    answer=st.floats(1, 20_000),
    rank=st.sampled_from([1, 8, 16, 64, 512]),
    slots=st.one_of(st.none(), st.integers(1, 400)),
)
def test_any_mix_has_a_finite_estimate_within_its_limits(
    *, count: int, rate: float, spread: float, prompt: float, answer: float, rank: int, slots: int | None
) -> None:
    mix = alike(count, rate=rate, rank=rank, prompt=prompt, answer=answer)
    mix = Workload(
        mix.rank, mix.rate * np.geomspace(1, 10**spread, count), *(getattr(mix, n) for n in mix.__slots__[2:])
    )
    found = estimate(ServedMix(mix, PROFILE)) if slots is None else estimate_slots(ServedMix(mix, PROFILE), [slots])[0]
    assert 0 < found.max_adapters < np.inf
    for each in found.choices:
        assert np.all(np.diff(each.adapters) >= 0)
        assert np.all(each.active_adapters <= each.adapters * 1.001)
    assert 0 < estimates(ServedMix(mix, PROFILE)).waiting.max_adapters < np.inf
    state = found.serving(count)
    assert 0 < state.step_ms < np.inf
    assert 0 <= state.active_adapters <= count


@pytest.mark.parametrize("cv", [1.0, 2.0, 4.0])
def test_requests_that_come_in_bursts_keep_fewer_adapters_busy(cv: float) -> None:
    """Beside arrivals that the twin draws: whose answers are being written at points in time."""
    mix = replace(alike(100, rate=0.05), cv=np.full(100, cv))
    state = estimate_slots(ServedMix(mix, PROFILE), [100])[0].serving(100)
    requests = draw(Workload(*(getattr(mix, name) for name in mix.__slots__)), 3600.0, 1)
    ends = requests.arrival + requests.output * state.step_ms / 1e3
    busy = [
        np.unique(requests.adapter[(requests.arrival <= now) & (now < ends)]).size
        for now in np.linspace(100, 3600, 500)
    ]
    assert state.active_adapters == pytest.approx(np.mean(busy), rel=0.15)
    assert (
        state.active_adapters
        <= estimate_slots(ServedMix(alike(100, rate=0.05), PROFILE), [100])[0].serving(100).active_adapters
    )


def test_numbers_of_slots_estimated_together_are_those_estimated_alone() -> None:
    mix = alike(100, rate=0.2)
    for slots, together in zip((1, 7, 64), estimate_slots(ServedMix(mix, PROFILE), [1, 7, 64]), strict=True):
        (alone,) = estimate_slots(ServedMix(mix, PROFILE), [slots])
        assert together.max_adapters == alone.max_adapters
        assert together.serving(80) == alone.serving(80)


@given(count=st.integers(1, 200), rate=st.floats(1e-4, 5), rank=st.sampled_from([8, 64]), slots=st.integers(1, 400))
def test_what_is_known_of_other_slots_changes_nothing(count: int, rate: float, rank: int, slots: int) -> None:
    served = ServedMix(alike(count, rate=rate, rank=rank), PROFILE)
    (alone,), (near,) = (estimate_slots(served, [slots], waiting) for waiting in (None, estimates(served).waiting))
    assert near.max_adapters == pytest.approx(alone.max_adapters, rel=1e-6)
    assert near.serving(count) == pytest.approx(alone.serving(count), rel=1e-6, abs=1e-9)


@given(count=st.integers(1, 100), times=st.integers(2, 5), rate=st.floats(1e-3, 2))
def test_a_mix_repeated_has_the_same_limit(count: int, times: int, rate: float) -> None:
    once, repeated = (estimate(ServedMix(alike(n, rate=rate), PROFILE)).max_adapters for n in (count, count * times))
    assert once == pytest.approx(repeated, rel=1e-6)


def test_memory_bounds_what_large_ranks_allow() -> None:
    limits = [estimate(ServedMix(alike(10, rate=0.05, rank=rank), PROFILE)).max_adapters for rank in (8, 32, 128)]
    assert limits[0] >= limits[1] > limits[2]


BUDGETS = (64, 256, 2048)


@pytest.mark.parametrize("budget", BUDGETS)
@given(
    count=st.integers(1, 100),
    rate=st.floats(1e-3, 50),
    prompt=st.floats(1, 5000),
    answer=st.floats(1, 5000),
    base=st.floats(0, 2),
    slots=st.one_of(st.none(), st.integers(1, 100)),
)
def test_no_step_takes_more_tokens_than_its_budget(
    *, budget: int, count: int, rate: float, prompt: float, answer: float, base: float, slots: int | None
) -> None:
    mix = replace(
        alike(count, rate=rate, prompt=prompt, answer=answer), base=alike(1, rate=base, prompt=prompt, answer=answer)
    )
    found = (
        estimate(ServedMix(mix, budgeted(budget)))
        if slots is None
        else estimate_slots(ServedMix(mix, budgeted(budget)), [slots])[0]
    )
    for each in found.choices:
        tokens = (each.adapters * rate + base) * (prompt + answer) * each.step_s
        served = np.diff(each.adapters, prepend=0.0) > 0  # where longer steps serve more; others repeat the most
        assert np.all(tokens[served] <= 1.03 * budget), "but for interpolation between two step times"


def test_a_budget_that_is_small_bounds_the_load() -> None:
    mix = alike(50, rate=0.5, prompt=900, answer=20)
    few, some, many = (estimate(ServedMix(mix, budgeted(budget))).max_adapters for budget in BUDGETS)
    assert few < some < many
    assert few * 0.5 * 920 / 1e3 * PROFILE.step.base_ms < 1.05 * BUDGETS[0]


def budgeted(tokens: int) -> Profile:
    return PROFILE.model_copy(update={"serving": PROFILE.serving.model_copy(update={"max_num_batched_tokens": tokens})})


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("mean", [100.0, 400.0, 1500.0])
@pytest.mark.parametrize("together", [0.01, 0.1, 0.5, 2.0, 8.0])
def test_tokens_beyond_the_graphs_are_those_of_prompts_that_come_one_by_one(
    together: float, mean: float, spread: float
) -> None:
    """Within 16 %, or within 6 tokens where prompts rarely get beyond: beside steps of Poisson arrivals."""
    generator, steps = np.random.default_rng(1), 100_000
    step = np.repeat(np.arange(steps), generator.poisson(together, steps))
    lengths = generator.gamma(1 / spread**2, mean * spread**2, len(step)) if spread else np.full(len(step), mean)
    prefilled = np.bincount(step, weights=lengths, minlength=steps)
    over = np.array([-500.0, -100.0, 0.0, 50.0])
    found = eager_tokens(over, steps_with(Prompts(together, mean, mean**2 * (1 + spread**2)), 10**9))
    drawn = [np.maximum(each + prefilled, 0).mean() for each in over]
    assert found == pytest.approx(drawn, rel=0.16, abs=6)


@pytest.mark.parametrize("together", [0.001, 0.01, 0.03])
def test_prompts_beyond_the_budget_come_in_as_many_steps(together: float) -> None:
    budget, prompt, steps = 2048, 20_480, 200_000
    come = prompt * np.random.default_rng(2).poisson(together, steps)
    backlog, tokens = 0, np.zeros(steps)
    for step, new in enumerate(come.tolist()):
        tokens[step] = min(backlog + new, budget)
        backlog += new - int(tokens[step])
    over = np.array([-400.0, -50.0])
    found = eager_tokens(over, steps_with(Prompts(together, prompt, prompt**2), budget))
    assert found == pytest.approx([np.maximum(each + tokens, 0).mean() for each in over], rel=0.15)


@pytest.mark.parametrize("rate", [0.05, 0.4])
def test_the_twin_serves_what_is_estimated_and_not_much_more(rate: float) -> None:
    found = estimate(ServedMix(alike(10, rate=rate), PROFILE))
    most = found.max_adapters
    slots = round(found.serving(0.85 * most).slots)
    assert served(alike(round(0.85 * most), rate=rate), slots).steady()
    assert not served(alike(round(1.25 * most), rate=rate), slots).steady()
    half = round(most / 2)
    expected = estimate_slots(ServedMix(alike(half, rate=rate), PROFILE), [slots])[0].serving(half)
    assert served(alike(half, rate=rate), slots).tpot_ms == pytest.approx(expected.step_ms, rel=0.1)


@pytest.mark.parametrize("slots", [8, 16])
def test_a_server_short_of_slots_still_fills_its_batches(slots: int) -> None:
    """A hundred busy adapters take turns; a batch holds several requests of each of the few that have a slot."""
    mix = alike(100, rate=0.5)
    most = estimate_slots(ServedMix(mix, PROFILE), [slots])[0].max_adapters / 100 * mix.offered_tok_s
    assert 1 / 1.5 < served(alike(100, rate=0.5), slots).throughput_tok_s / most < 1.5


def test_base_traffic_takes_room_from_the_adapters_but_no_slot() -> None:
    mix = alike(100, rate=0.2)
    alone = estimate(ServedMix(mix, PROFILE))
    limits, states = [alone.max_adapters], [alone.serving(40)]
    for rate in (0.0, 2.0, 4.0, 8.0):
        beside = estimate(ServedMix(replace(mix, base=alike(1, rate=rate)), PROFILE))
        limits.append(beside.max_adapters)
        states.append(beside.serving(40))
    assert limits[0] == pytest.approx(limits[1], rel=1e-9)
    assert limits[1:] == sorted(limits[1:], reverse=True)
    assert [state.step_ms for state in states] == sorted(state.step_ms for state in states)
    # A request without an adapter costs less than one with: none of LoRA's work.
    assert limits[0] - limits[-1] < 8.0 / 0.2
    too_much = estimate(ServedMix(replace(mix, base=alike(1, rate=1e3)), PROFILE))
    assert too_much.max_adapters == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("rate", [1.0, 4.0, 8.0])
def test_the_twin_serves_base_traffic_as_estimated(rate: float) -> None:
    mix = replace(alike(40, rate=0.1), base=alike(1, rate=rate))
    (found,) = estimate_slots(ServedMix(mix, PROFILE), [40])
    assert served(mix, 40).tpot_ms == pytest.approx(found.serving(40).step_ms, rel=0.1)


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_the_twin_serves_shared_prefixes_as_estimated(rate: float) -> None:
    mix = alike(40, rate=rate, prompt=900)
    shared = replace(mix, shared_prefix=np.full(40, 800, dtype=np.int32))
    (whole,), (found,) = (estimate_slots(ServedMix(each, PROFILE), [40]) for each in (mix, shared))
    assert found.max_adapters > whole.max_adapters
    server = replace(settings(40, 40), enable_prefix_caching=True)
    measured = simulate(PROFILE, server, shared, duration_s=1200).tpot_ms
    assert measured == pytest.approx(found.serving(40).step_ms, rel=0.1)


@pytest.mark.parametrize(
    ("rank", "prompt", "answer", "rate"), [(128, 100, 16, 0.1), (128, 3000, 60, 0.01), (64, 700, 30, 0.06)]
)
def test_the_twin_serves_large_ranks_and_short_answers_as_estimated(
    *, rank: int, prompt: float, answer: float, rate: float
) -> None:
    """Most steps have few tokens, which kernels split, and some have a prompt, which they do not."""
    mix = alike(200, rate=rate, rank=rank, prompt=prompt, answer=answer)
    server = replace(settings(200, 16), max_lora_rank=rank)
    found = estimate_slots(ServedMix(mix, PROFILE), [16])[0].serving(200)
    assert simulate(PROFILE, server, mix, duration_s=2400).step_ms == pytest.approx(found.step_ms, rel=0.25)


@pytest.mark.parametrize("count", [40, 400, 4000])
def test_prefixes_that_nobody_asks_for_are_evicted_as_in_the_twin(count: int) -> None:
    """Of the same requests, those of many adapters find what their prompts begin with no more."""
    mix = alike(count, rate=6.0 / count, prompt=900, answer=60)
    shared = replace(mix, shared_prefix=np.full(count, 800, dtype=np.int32))
    small = PROFILE.model_copy(update={"memory": PROFILE.memory.model_copy(update={"kv_tokens_base": 60_000.0})})
    server = replace(settings(count, 32), enable_prefix_caching=True)
    expected = estimate_slots(ServedMix(shared, small), [32])[0].serving(count).step_ms
    assert simulate(small, server, shared, duration_s=2400).step_ms == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("cv", [1.5, 2.0])
def test_adapters_asked_in_bursts_are_in_flight_as_in_the_twin(cv: float) -> None:
    mix = replace(alike(400, rate=0.06, answer=60), cv=np.full(400, cv))
    found = estimate_slots(ServedMix(mix, PROFILE), [64])[0].serving(400)
    assert served(mix, 64).adapters_in_batch_mean == pytest.approx(found.active_adapters, rel=0.2)


def test_with_next_to_nothing_to_do_a_step_takes_as_long_as_an_empty_one() -> None:
    mix = alike(4, rate=1e-4)
    for found in (estimate(ServedMix(mix, PROFILE)), *estimate_slots(ServedMix(mix, PROFILE), [1, 4])):
        assert found.serving(4).step_ms == pytest.approx(PROFILE.step.base_ms, rel=0.1)


def test_without_lora_the_twin_is_as_fast_as_estimated() -> None:
    mix = alike(60, rate=0.2)
    server = settings(60, 60)
    plain = simulate(PROFILE, server.without_lora(), mix, duration_s=1800)
    assert plain.tpot_ms == pytest.approx(
        estimate(ServedMix(mix, PROFILE.without_lora())).serving(60).step_ms, rel=0.05
    )
    assert plain.tpot_ms < 0.9 * simulate(PROFILE, server, mix, duration_s=1800).tpot_ms


def settings(count: int, slots: int) -> Settings:
    return Settings(
        max_loras=slots,
        max_cpu_loras=max(count, slots),
        max_lora_rank=16,
        max_num_seqs=PROFILE.serving.max_num_seqs,
        max_num_batched_tokens=PROFILE.serving.max_num_batched_tokens,
        gpu_memory_utilization=0.9,
        max_model_len=PROFILE.memory.max_model_len,
    )


def served(mix: Workload, slots: int) -> Measures:
    return simulate(PROFILE, settings(len(mix), slots), mix, duration_s=1200.0)
