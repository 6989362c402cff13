"""Pins, adapters that must be apart and copies are kept, or whoever cannot be placed so is told why."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.place.fleet.fleet import Fleet
from advisor.place.judge.servers import Servers
from advisor.place.place import place
from advisor.place.placement import Group, Placement
from advisor.place.problem import GpuType, Problem
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix
from twin.workload import Workload


def where(answer: Placement) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for each in answer.assignments:
        for adapter in each.adapters:
            found.setdefault(adapter, []).append(each.gpu)
    return found


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_is_demanded_is_kept_or_told(pair: Pair, data: st.DataObject) -> None:
    mix = random_mix(np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))), data.draw(st.integers(1, 60)))
    mix = replace(mix, rate=mix.rate * data.draw(st.sampled_from([0.3, 3.0])))
    positions = st.integers(0, len(mix) - 1)
    gpus = data.draw(st.none() | st.integers(1, 5))
    pins = data.draw(st.dictionaries(positions, st.integers(0, 6), max_size=5))
    copies = data.draw(st.dictionaries(positions, st.integers(2, 4), max_size=3))
    shuffled = data.draw(st.permutations(range(len(mix))))
    sizes = data.draw(st.lists(st.integers(2, 6), max_size=3))
    ends = np.cumsum([0, *sizes])
    apart = [frozenset(shuffled[low:high]) for low, high in pairwise(ends)]
    apart = [group for group in apart if len(group) > 1]
    problem = Problem(
        of(mix),
        (GpuType(pair),),
        gpus=gpus,
        pins=pins,
        copies=copies,
        apart=tuple(apart),
        replicas=data.draw(st.booleans()),
    )
    answer = place(problem)
    on = where(answer)
    assert sorted([*on, *answer.unplaced]) == list(range(len(mix)))
    assert len({each.gpu for each in answer.assignments}) == answer.gpus <= (gpus or 99)
    assert all(not each.missed for each in answer.assignments)
    for adapter, pin in pins.items():
        assert adapter in answer.unplaced or pin in on[adapter]
    for group in apart:
        together = Counter(gpu for adapter in group & on.keys() for gpu in on[adapter])
        assert not together or max(together.values()) == 1
    for adapter, wanted in copies.items():
        assert adapter in answer.unplaced or len(on[adapter]) == wanted
    for adapter, gpus_of_it in on.items():
        weights = [each.weights.get(adapter, 1.0) for each in answer.assignments if adapter in each.adapters]
        assert len(gpus_of_it) == len(set(gpus_of_it))
        assert abs(sum(weights) - 1) < 1e-9
    assert all(answer.unplaced.values())


def test_an_adapter_that_exceeds_one_gpu_is_on_several(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(1), 10)
    rate = mix.rate.copy()
    rate[3] = 40.0
    problem = Problem(of(replace(mix, rate=rate)), (GpuType(pair),), replicas=True)
    answer = place(problem)
    assert not answer.unplaced
    assert answer.holds
    assert len(where(answer)[3]) > 1
    alone = place(replace(problem, replicas=False))
    assert list(alone.unplaced) == [3]
    assert alone.unplaced[3].startswith("no GPU serves it, even alone: ")
    one = place(replace(problem, copies={3: 1}))
    assert list(one.unplaced) == [3]
    assert one.unplaced[3].startswith("no GPU serves it, even alone: ")


def asked_more(adapters: int, rates: list[float]) -> Workload:
    """Adapters, the first few of which are asked so much."""
    mix = random_mix(np.random.default_rng(1), adapters)
    rate = np.append(rates, mix.rate[len(rates) :])
    return replace(mix, rate=rate)


def with_little_memory(pair: Pair) -> Pair:
    """A pair that serves no adapter."""
    memory = pair.profile.memory.model_copy(update={"kv_tokens_base": 200.0})
    return replace(pair, profile=pair.profile.model_copy(update={"memory": memory}))


def test_little_is_judged_of_those_that_are_too_much_for_any_number_of_gpus(pair: Pair) -> None:
    servers = Servers(Problem(of(asked_more(3, [1e6, 2e6, 3e6])), (GpuType(pair),), replicas=True))
    fleet = Fleet(servers)
    fleet.insert(range(3))
    assert sorted(fleet.unplaced) == [0, 1, 2]
    assert servers.evaluations < 30


def test_an_adapter_is_on_as_few_gpus_as_serve_it(pair: Pair) -> None:
    """Found by halving, with little judged, and yet no more than it would be one by one."""
    servers = Servers(Problem(of(asked_more(1, [400.0])), (GpuType(pair),), replicas=True))
    fleet = Fleet(servers)
    fleet.insert([0])
    judged = servers.evaluations
    assert len(fleet.gpus) == fleet.copies[0] > 60
    assert servers.judge(Group((0,), weights={0: 1 / (fleet.copies[0] - 1)})).missed
    assert judged < 20


def test_an_adapter_is_shared_among_gpus_that_serve_a_part_of_it(pair: Pair) -> None:
    """There are as many cheap ones as are wanted, but these serve nothing of it."""
    mix, none = asked_more(6, [40.0]), GpuType(with_little_memory(pair), 0.1)
    enough = Problem(of(mix), (none, GpuType(pair, at_most=20)), replicas=True)
    fleet = Fleet(Servers(enough))
    fleet.insert(range(6))
    assert not fleet.unplaced
    assert all(gpu.gpu_type == 1 for gpu in fleet.gpus.values())
    servers = Servers(replace(enough, gpu_types=(none, GpuType(pair, at_most=fleet.copies[0] - 1))))
    few = Fleet(servers)
    few.insert(range(6))
    assert few.unplaced == {0: "no room on the GPUs that serve it"}
    assert all(few.holds(gpu) for gpu in few.gpus.values())
    assert servers.evaluations < 80


def test_replicas_that_there_are_too_few_gpus_for_leave_these_to_others(pair: Pair) -> None:
    none = GpuType(with_little_memory(pair), 0.1)
    problem = Problem(of(asked_more(6, [1.0])), (none, GpuType(pair, at_most=2)), copies={0: 3})
    fleet = Fleet(Servers(problem))
    fleet.insert(range(6))
    assert fleet.unplaced == {0: "no room for its 3 replicas on the GPUs that serve it"}


def test_who_is_apart_from_one_that_a_cheap_gpu_does_not_serve_is_no_reason_to_leave_it_out(pair: Pair) -> None:
    """The cheap type is worth most for the second, which must not be on it for the sake of the first."""
    mix = asked_more(2, [4.0, 0.3])
    mix = replace(mix, rank=np.array([64.0, 8.0]))
    memory = pair.profile.memory.model_copy(update={"kv_tokens_base": 6000.0})
    small = replace(pair, profile=pair.profile.model_copy(update={"memory": memory}))
    problem = Problem(of(mix), (GpuType(small, 0.01), GpuType(pair, 100.0)), apart=(frozenset({0, 1}),))
    servers = Servers(problem)
    assert servers.judge(Group((0,), 0)).missed
    assert not servers.judge(Group((1,), 0)).missed
    assert not servers.judge(Group((0,), 1)).missed
    fleet = Fleet(servers)
    fleet.insert(range(2))
    assert not fleet.unplaced


def test_contradictions_leave_the_rest_placed(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(2), 8)
    problem = Problem(
        of(replace(mix, rate=mix.rate / 10)),
        (GpuType(pair),),
        gpus=2,
        pins={0: 1, 1: 1, 2: 5},
        apart=(frozenset({0, 1}), frozenset({3, 4, 5})),
        copies={6: 3},
    )
    answer = place(problem)
    assert answer.unplaced == {
        1: "pinned to GPU 1 as is 'adapter-0', which it must be apart from",
        2: "pinned to GPU 5, but there are 2 GPUs, numbered from 0",
        3: "3 adapters must be apart, but there are 2 GPUs",  # of the three it brings the least, at the largest rank
        6: "3 replicas, but there are 2 GPUs",
    }
    assert where(answer)[0] == [1]


@pytest.mark.parametrize("rate", [0.0, 0.02])
def test_who_is_pinned_and_of_too_large_a_rank_is_nowhere(pair: Pair, rate: float) -> None:
    mix = random_mix(np.random.default_rng(3), 20)
    mix = replace(mix, rank=np.append(np.minimum(mix.rank[1:], 16), 64.0), rate=np.append(mix.rate[1:], rate))
    problem = Problem(replace(of(mix), fixed={"max_lora_rank": 16}), (GpuType(pair),), pins={19: 0})
    answer = place(problem)
    assert answer.unplaced == {19: "rank above the fixed max_lora_rank 16, which vLLM refuses to load"}
    assert set(where(answer)) == set(range(19))


def test_gpus_of_a_type_are_no_more_than_there_are(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(3), 200)
    problem = Problem(
        of(replace(mix, rate=mix.rate * 4)), (GpuType(pair, 2.0, at_most=1), GpuType(pair, 1.0, at_most=1))
    )
    answer = place(problem)
    assert sorted(Counter(id(each.gpu_type) for each in answer.assignments).values()) == [1, 1]
    assert set(answer.unplaced.values()) == {"no room on 2 GPUs"}


def test_replicas_that_an_algorithm_found_no_room_for_are_made_all_the_same(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(0), 2)
    problem = Problem(of(mix), (GpuType(pair),), gpus=4, copies={0: 2, 1: 3}, apart=(frozenset({0, 1}),))
    answer = place(problem)
    on = where(answer)
    assert all(adapter in answer.unplaced or len(on[adapter]) == wanted for adapter, wanted in problem.copies.items())
