"""Too few GPUs for all: as much is served as can be, whatever holds holds, and who is left out is told why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.place.algorithms import ALGORITHMS
from advisor.place.place import place
from advisor.place.placement import Placement
from advisor.place.problem import GpuType, Problem
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import find_pair, load_zoo
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix
from twin.workload import Workload


def problem_of(*kinds: tuple[int, float, float], **demands: object) -> Problem:
    """So many adapters of each rank and rate."""
    rank, rate = (np.repeat([kind[i] for kind in kinds], [kind[0] for kind in kinds]) for i in (1, 2))
    length = np.full(len(rank), 200.0)
    mix = Workload(rank.astype(float), rate.astype(float), length, length, length, length, np.ones(len(rank)))
    return replace(Problem(of(mix), (GpuType(load_zoo().pairs[0]),)), **demands)  # type: ignore[arg-type]


def worth(answer: Placement) -> float:
    """Adapters times tokens/s of what is served."""
    served = {adapter for each in answer.assignments for adapter in each.adapters}
    return len(served) * sum(each.token_rate for each in answer.assignments)


def test_large_ranks_are_left_out_last_of_all_where_the_rest_then_fits() -> None:
    """First would be worse: every slot of a GPU is as large as the largest of its ranks needs."""
    answer = place(problem_of((4, 256, 0.05), (8, 64, 0.05), (500, 8, 0.05), gpus=2))
    assert all(each.settings.max_lora_rank == 8 for each in answer.assignments)
    assert set(range(12)) <= answer.unplaced.keys()
    assert answer.unplaced[0] == "no room on 2 GPUs, for every slot beside it would have to be of rank 256"
    assert answer.holds is False
    assert not any(each.missed for each in answer.assignments)


def test_those_of_large_rank_that_bring_most_are_served() -> None:
    answer = place(problem_of((24, 64, 0.5), (400, 8, 0.001), (300, 8, 0.05), gpus=1))
    assert any(each.settings.max_lora_rank == 64 for each in answer.assignments)


def test_of_alike_adapters_as_many_are_served_as_gpus_hold() -> None:
    whole = problem_of((800, 16, 0.05))
    need = place(whole).gpus
    answer = place(replace(whole, gpus=need - 2))
    assert len(answer.unplaced) < 800 * 2.2 / need
    assert set(answer.unplaced.values()) == {f"no room on {need - 2} GPUs"}


@pytest.mark.parametrize("seed", range(4))
def test_more_is_served_than_in_any_other_way_and_never_on_a_gpu_that_does_not_hold(pair: Pair, seed: int) -> None:
    mix = random_mix(np.random.default_rng(seed), 120)
    problem = Problem(of(replace(mix, rate=3 * mix.rate)), (GpuType(pair),), time_s=0.2)
    fewer = replace(problem, gpus=max(place(problem).gpus // 2, 1))
    answer = place(fewer)
    assert answer.unplaced
    assert not any(each.missed for each in answer.assignments)
    for name in ALGORITHMS:
        other = place(fewer, name)
        assert any(each.missed for each in other.assignments) or worth(other) <= worth(answer), name


def test_an_adapter_whose_parts_need_more_gpus_than_there_are_overloads_none() -> None:
    problem = problem_of((1, 16, 90.0), (200, 8, 0.03), replicas=True)
    assert not place(problem).unplaced
    answer = place(replace(problem, gpus=place(problem).gpus - 2))
    assert not any(each.missed for each in answer.assignments)
    assert answer.unplaced[0].startswith("no room")


@pytest.mark.parametrize("demands", ["other types", "apart"])
def test_an_adapter_that_brings_most_is_served_beside_whatever_else_is_said(demands: str) -> None:
    plain = problem_of((100, 16, 0.08), (6, 128, 0.5), (1, 16, 20.0), gpus=1)
    l40s = GpuType(find_pair("llama-3.1-8b-instruct", "l40s"), price=1.0, at_most=2)
    h100 = replace(plain.gpu_types[0], price=2.0, at_most=1)
    asked = {
        "other types": replace(plain, gpu_types=(h100, l40s)),
        "apart": replace(plain, apart=(frozenset(range(100, 107)),)),
    }
    answer = place(asked[demands])
    assert 106 not in answer.unplaced
    assert worth(answer) >= 0.95 * worth(place(plain))


def test_the_same_again() -> None:
    problem = problem_of((30, 64, 0.05), (300, 8, 0.1), gpus=2)
    assert place(problem) == place(problem)
