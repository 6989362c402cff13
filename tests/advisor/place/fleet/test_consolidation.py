"""A fleet is made cheaper: ranks gathered, GPUs emptied, cheaper types taken, and who must be where stays there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.place.fleet.consolidation import consolidated, gather
from advisor.place.fleet.fleet import Fleet, Gpu
from advisor.place.fleet.settling import settle
from advisor.place.judge import servers as judging
from advisor.place.judge.servers import Servers
from advisor.place.place import place
from advisor.place.placement import Group
from advisor.place.problem import GpuType, Problem
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix
from twin.workload import Workload

ENOUGH = 500
"""Groups to judge: as many as it takes."""


def alike(rank: list[int], rate: float) -> Workload:
    length, ones = np.full(len(rank), 200.0), np.ones(len(rank))
    return Workload(np.array(rank, dtype=float), rate * ones, length, length, length, length, ones)


def fleet_of(problem: Problem, groups: list[Group]) -> Fleet:
    fleet = Fleet(Servers(problem))
    settle(fleet, groups)
    return fleet


def ranks(fleet: Fleet) -> list[int]:
    rank = fleet.problem.inventory.mix.rank
    return sorted(int(rank[list(gpu.adapters)].max()) for gpu in fleet.gpus.values())


def test_large_ranks_are_gathered(pair: Pair) -> None:
    """On three GPUs that there are one has all adapters of rank 64, though each had some."""
    mix = alike([64 if i % 10 == 0 else 8 for i in range(60)], 0.05)
    problem = Problem(of(mix), (GpuType(pair),), gpus=3)
    fleet = fleet_of(problem, [Group(tuple(range(start, start + 20))) for start in (0, 20, 40)])
    assert ranks(fleet) == [64, 64, 64]
    assert ranks(consolidated(fleet, ENOUGH)) == [8, 8, 64]


def test_what_is_refused_is_not_tried_with_gpus_that_are_alike(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 GPUs each has one of rank 64 and as many others as it bears: every pair is refused as the first was."""
    mix = alike([64 if i % 20 == 0 else 8 for i in range(800)], 0.3)
    fleet = Fleet(Servers(Problem(of(mix), (GpuType(pair),))))
    fleet.gpus = {gpu: Gpu(0, set(range(20 * gpu, 20 * gpu + 20))) for gpu in range(40)}
    tried = list[Gpu]()
    judge = Fleet.judge
    monkeypatch.setattr(Fleet, "judge", lambda self, gpu: (tried.append(gpu), judge(self, gpu))[1])
    gather(fleet, ENOUGH)
    assert len(fleet.gpus) == 40
    assert 0 < len(tried) <= 4


def test_who_is_pinned_on_a_gpu_is_no_reason_to_refuse_one_that_is_alike(pair: Pair) -> None:
    """The emptiest GPU cannot give, for its adapter is pinned; the next, which has the same, can."""
    mix = alike([64, 64, 64, 64], 0.01)
    groups = [Group((0,)), Group((1,)), Group((2, 3))]
    fleet = fleet_of(Problem(of(mix), (GpuType(pair),), pins={1: 1}), groups)
    gather(fleet, ENOUGH)
    assert {gpu: set(each.adapters) for gpu, each in fleet.gpus.items()} in ({1: {1}, 2: {0, 2, 3}}, {1: {0, 1, 2, 3}})


def test_gpus_that_are_emptied_leave_no_gap(pair: Pair) -> None:
    groups = [Group((0,)), Group(tuple(range(1, 9))), Group(tuple(range(9, 20)))]
    fleet = fleet_of(Problem(of(alike([64] * 9 + [8] * 11, 0.3)), (GpuType(pair),)), groups)
    gather(fleet, ENOUGH)
    fleet.number()
    assert list(fleet.groups()) == [0, 1]


def test_gpus_that_nobody_comes_to_leave_no_gap(pair: Pair) -> None:
    """The first group is of adapters that vLLM refuses to load."""
    mix = alike([64, 8, 8], 0.1)
    problem = Problem(replace(of(mix), fixed={"max_lora_rank": 16}), (GpuType(pair),))
    assert list(fleet_of(problem, [Group((0,)), Group((1, 2))]).groups()) == [0]


@pytest.mark.parametrize("headroom", [0.0, 0.2])
def test_what_to_expect_of_gpus_that_are_alike_is_asked_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, headroom: float
) -> None:
    servers = Servers(Problem(of(alike([8] * 60, 0.05)), (GpuType(pair),), headroom=headroom))
    asked = list[object]()
    estimate, configure = judging.estimate, judging.Configurator.configure
    monkeypatch.setattr(judging, "estimate", lambda mix: (asked.append(mix), estimate(mix))[1])
    monkeypatch.setattr(judging.Configurator, "configure", lambda *of: (asked.append(of), configure(*of))[1])
    found = [servers.assign(gpu, Group((3 * gpu, 3 * gpu + 1, 3 * gpu + 2))) for gpu in range(20)]
    assert len(asked) <= 3
    assert [each.gpu for each in found if each is not None] == list(range(20))
    assert len({(each.load, each.expected.ttft_ms) for each in found if each is not None}) == 1


def test_a_gpu_that_others_have_room_for_is_emptied(pair: Pair) -> None:
    mix = alike([8] * 60, 0.05)
    fleet = fleet_of(Problem(of(mix), (GpuType(pair),)), [Group(tuple(range(30))), Group(tuple(range(30, 60)))])
    assert len(fleet.gpus) == 2
    assert list(consolidated(fleet, ENOUGH).gpus) == [0]


def test_hardly_more_is_judged_than_may_be(pair: Pair) -> None:
    """Of adapters that are all different each refused one would be tried with every GPU: there are thousands."""
    mix = random_mix(np.random.default_rng(1), 400)
    mix = replace(mix, input_mean=np.linspace(100, 300, 400), rate=mix.rate + np.linspace(0.0, 0.01, 400))
    problem = Problem(of(mix), (GpuType(pair),))
    fleet = Fleet(Servers(problem))
    fleet.insert(range(400))
    assert len(fleet.gpus) > 3
    before = fleet.servers.evaluations
    smaller = consolidated(fleet, 10)
    assert fleet.servers.evaluations - before <= 10 + 2 * len(fleet.gpus)
    assert all(smaller.holds(gpu) for gpu in smaller.gpus.values())
    assert not smaller.unplaced


def test_a_cheaper_type_is_taken_where_it_does(pair: Pair) -> None:
    problem = Problem(of(alike([8] * 20, 0.05)), (GpuType(pair, 3.0), GpuType(pair, 1.0, at_most=1)))
    fleet = fleet_of(problem, [Group(tuple(range(20)))])
    assert fleet.price == 3.0
    assert consolidated(fleet, ENOUGH).price == 1.0


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_nothing_is_dearer_or_worse_and_demands_are_kept(pair: Pair, data: st.DataObject) -> None:
    mix = random_mix(np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))), 40)
    mix = replace(mix, rate=mix.rate * data.draw(st.sampled_from([0.3, 2.0])))
    dealt = data.draw(st.lists(st.integers(0, 3), min_size=40, max_size=40))
    groups = [Group(tuple(i for i in range(40) if dealt[i] == gpu)) for gpu in range(4)]
    problem = Problem(
        of(mix),
        (GpuType(pair, 2.0), GpuType(pair, 1.0, at_most=1)),
        pins={0: 1, 1: 2},
        apart=(frozenset({2, 3}),),
        copies={4: 2},
    )
    before = fleet_of(problem, groups)
    after = consolidated(before, data.draw(st.sampled_from([0, 20, ENOUGH])))
    assert after.unplaced == before.unplaced
    assert after.price <= before.price
    where = after.where()
    assert sorted([*where, *after.unplaced]) == list(range(40))
    assert all(len(on) == after.copies.get(adapter, 1) for adapter, on in where.items())
    assert all(problem.pins[adapter] in where[adapter] for adapter in problem.pins if adapter in where)
    assert not set(where.get(2, ())) & set(where.get(3, ()))
    if all(before.holds(gpu) for gpu in before.gpus.values()):
        assert all(after.holds(gpu) for gpu in after.gpus.values())


def test_a_seed_gives_one_placement(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(11), 120)
    problem = Problem(of(mix), (GpuType(pair, 2.0), GpuType(pair, 1.5, at_most=1)))
    assert place(problem) == place(problem)
