"""The twin simulates every GPU; a placement is changed until it finds nothing missed, or that is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.place.place import place
from advisor.place.placement import Group
from advisor.place.problem import GpuType, Problem
from advisor.place.verification.verification import FINAL_SEEDS, ExactServers, measure
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import find_pair
from tests.advisor.inventories import of
from tests.advisor.recommend.shipped.questions import inventory, workload
from tests.advisor.small_zoo import random_mix
from twin.arrivals import Phase


@pytest.fixture(scope="module")
def problem(pair: Pair) -> Problem:
    """Adapters for a few GPUs of the small zoo, some of them never asked."""
    mix = random_mix(np.random.default_rng(3), 80)
    return Problem(of(replace(mix, rate=np.where(np.arange(80) < 3, 0.0, mix.rate * 2))), (GpuType(pair),))


def test_every_gpu_is_simulated(problem: Problem) -> None:
    seen: list[tuple[int, int | None]] = []
    answer = place(problem, verify=True, progress=lambda done, total: seen.append((done, total)))
    tried = [done for done, total in seen if total is None]
    assert tried == list(range(1, len(tried) + 1)) and len(tried) >= answer.gpus
    assert [each for each in seen if each[1] is not None] == [(i, answer.gpus) for i in range(answer.gpus + 1)]
    for each in answer.assignments:
        assert each.verified is not None
        assert each.verified["hours"] == 3
        assert bool(each.verified["missed"]) != each.verified["steady"]
    assert answer.holds == all(each.verified["steady"] for each in answer.assignments if each.verified)
    assert [replace(each, verified=None) for each in answer.assignments] == list(place(problem).assignments)


def test_what_misses_is_repaired(problem: Problem) -> None:
    # Models know the mean over a minute alone; the twin serves a second that brings nearly all.
    phases = (Phase(59.0, 0.01), Phase(1.0, 59.4))
    workload = replace(problem.inventory.workload, phases=phases)
    strict = replace(problem, inventory=replace(problem.inventory, workload=workload))
    before = place(strict, verify=True)
    after = place(strict, exact=True)
    assert not before.holds
    assert after.holds
    assert after.gpus >= before.gpus
    assert after.lower_bound == before.lower_bound == place(problem).lower_bound
    assert sorted(adapter for each in after.assignments for adapter in each.adapters) == list(range(80))
    assert all(each.verified is not None and each.verified["missed"] == [] for each in after.assignments)
    # Every GPU, whether it had to be changed or not, has served as many hours as that takes to tell.
    assert {each.verified["hours"] for each in after.assignments if each.verified} == {len(FINAL_SEEDS)}


@pytest.mark.parametrize(("adapters", "holds"), [(28, True), (36, False)])
def test_what_comes_in_bursts_has_to_hold_in_hours_that_nobody_asked_about(adapters: int, holds: bool) -> None:
    """The larger group holds in the two hours that others are judged by, and in eight of the twelve others here."""
    mix = workload(np.full(40, 0.06), 8, lengths=(1500, 1500, 1000, 800))
    asked = inventory(replace(mix, cv=np.full(40, 2.2)))
    bursty = Problem(asked, (GpuType(find_pair(asked.model, asked.gpu)),))
    group = Group(tuple(range(adapters)))
    server = ExactServers(bursty).judge(group)
    assert server.configuration is not None
    assert bool(server.missed) != holds
    hours = [measure(bursty, group, server.configuration.settings, seed) for seed in range(101, 113)]
    assert all(not hour["missed"] for hour in hours) == holds


def test_who_is_too_much_for_the_gpus_that_share_it_is_shared_by_more() -> None:
    """Of 17 GPUs that share long prompts in bursts every one missed in one hour, and had nobody to give away."""
    mix = workload(np.array([1.18]), 16, lengths=(30_000, 20_800, 770, 400))
    asked = inventory(replace(mix, cv=np.array([3.9])))
    answer = place(Problem(asked, (GpuType(find_pair(asked.model, asked.gpu)),), replicas=True), exact=True)
    assert answer.holds and not answer.unplaced
    shares = [each.weights[0] for each in answer.assignments]
    assert len(shares) > 1 and sum(shares) == pytest.approx(1.0)


def test_every_state_that_a_failure_leaves_is_simulated(problem: Problem) -> None:
    answer = place(replace(problem, failures=1), verify=True)
    (spare,) = (each for each in answer.assignments if each.standby)
    assert spare.verified is not None
    assert spare.verified["arrivals"] > 0
    served = [each for each in answer.assignments if each.adapters]
    busiest = max(each.verified["offered_tok_s"] for each in served if each.verified)
    assert spare.verified["offered_tok_s"] == pytest.approx(busiest) or spare.verified["missed"]


def test_interrupted_while_the_twin_serves_the_placement_stands(problem: Problem) -> None:
    def interrupt(_: int, total: int | None) -> None:
        if total is not None:
            raise KeyboardInterrupt

    answer = place(problem, verify=True, progress=interrupt)
    assert answer.interrupted
    assert answer.assignments == place(problem).assignments
