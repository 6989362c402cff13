"""A number of GPUs that is fixed: all of them take a part of the load, large ranks together, demands kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.place.fleet.fleet import Fleet
from advisor.place.fleet.levelling import LEVEL, level
from advisor.place.fleet.settling import settle
from advisor.place.judge.servers import Servers
from advisor.place.place import place
from advisor.place.placement import Group, Placement
from advisor.place.problem import GpuType, Problem
from advisor.zoo.pairs import load_zoo
from tests.advisor.inventories import of
from twin.workload import Workload

ENOUGH = 50
"""Divisions: as many as it takes."""


def mix(*kinds: tuple[int, float, float]) -> Workload:
    """So many adapters of each rank and rate."""
    rank, rate = (np.repeat([kind[i] for kind in kinds], [kind[0] for kind in kinds]) for i in (1, 2))
    length = np.full(len(rank), 200.0)
    return Workload(rank.astype(float), rate.astype(float), length, length, length, length, np.ones(len(rank)))


def problem_of(workload: Workload, **demands: object) -> Problem:
    return replace(Problem(of(workload), (GpuType(load_zoo().pairs[0]),)), **demands)  # type: ignore[arg-type]


def loads(answer: Placement) -> list[float]:
    return [each.load for each in answer.assignments]


def test_few_adapters_of_large_rank_make_no_slots_large_but_those_of_one_gpu() -> None:
    """And that one has less of the others' load: it is not the fullest by far."""
    answer = place(problem_of(mix((6, 64, 0.1), (300, 8, 0.1)), gpus=4))
    assert not answer.unplaced
    assert sorted(each.settings.max_lora_rank for each in answer.assignments) == [8, 8, 8, 64]
    assert max(loads(answer)) < min(loads(answer)) + 0.1


def test_where_ranks_fill_more_than_one_gpu_the_others_are_as_full() -> None:
    answer = place(problem_of(mix((100, 64, 0.05), (500, 8, 0.05)), gpus=5))
    assert (answer.gpus, answer.unplaced) == (5, {})
    assert {each.settings.max_lora_rank for each in answer.assignments} == {8, 64}
    assert max(loads(answer)) < min(loads(answer)) + 0.1


@pytest.mark.parametrize(
    "demands",
    [{"pins": {7: 2}}, {"apart": (frozenset({1, 2, 3}),)}, {"copies": {5: 2}}],
    ids=lambda each: next(iter(each)),
)
def test_demands_leave_no_gpu_without_load(demands: dict[str, object]) -> None:
    answer = place(problem_of(mix((20, 64, 0.05), (200, 8, 0.05)), gpus=4, **demands))
    assert (answer.gpus, answer.unplaced) == (4, {})
    assert min(loads(answer)) > 0.5 * max(loads(answer))
    on = {each.gpu: set(each.adapters) for each in answer.assignments}
    if "pins" in demands:
        assert 7 in on[2]
    if "apart" in demands:
        assert all(len(there & {1, 2, 3}) <= 1 for there in on.values())
    if "copies" in demands:
        assert sum(5 in there for there in on.values()) == 2


def test_two_gpus_are_divided_until_they_are_level() -> None:
    """The GPU of large ranks gives others away; nobody is lost, and what held holds."""
    problem = problem_of(mix((10, 64, 0.05), (110, 8, 0.05)), gpus=3)
    fleet = Fleet(Servers(problem))
    settle(fleet, [Group(tuple(range(60))), Group(tuple(range(60, 120)))])
    level(fleet, ENOUGH)
    assert sorted(adapter for gpu in fleet.gpus.values() for adapter in gpu.adapters) == list(range(120))
    load = [fleet.servers.load(group) for group in fleet.groups().values()]
    assert len(load) == 3
    assert max(load) - min(load) < 3 * LEVEL
    assert all(fleet.holds(gpu) for gpu in fleet.gpus.values())


def test_gpus_that_there_is_nothing_for_are_not_used() -> None:
    answer = place(problem_of(mix((2, 8, 0.05)), gpus=4))
    assert answer.gpus <= 2
    assert [each.gpu for each in answer.assignments] == list(range(answer.gpus))


def test_the_same_again() -> None:
    problem = problem_of(mix((30, 64, 0.05), (200, 8, 0.05)), gpus=4, pins={3: 1})
    assert place(problem) == place(problem)
