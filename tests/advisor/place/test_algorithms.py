"""What every algorithm does that it is known for, and that ours needs no more GPUs than they do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from advisor.place.algorithms import ALGORITHMS
from advisor.place.algorithms.items import items_of
from advisor.place.judge.servers import Servers
from advisor.place.place import place
from advisor.place.placement import Group, Placement
from advisor.place.problem import GpuType, Problem
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import load_zoo
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix
from twin.workload import Workload


@pytest.fixture(scope="module")
def problem(pair: Pair) -> Problem:
    mix = random_mix(np.random.default_rng(4), 150)
    return Problem(of(replace(mix, rate=2 * mix.rate)), (GpuType(pair),))


@pytest.fixture(scope="module")
def answers(problem: Problem) -> dict[str, Placement]:
    return {name: place(problem, name) for name in ALGORITHMS}


def loads(answer: Placement) -> np.ndarray:
    return np.array([each.token_rate for each in answer.assignments])


def test_ours_needs_no_more_gpus_than_any_other_that_holds(answers: dict[str, Placement]) -> None:
    assert answers["packing"].holds
    assert len(answers["packing"].assignments) > 2
    assert answers["packing"].gpus == min(each.gpus for each in answers.values() if each.holds)
    assert answers["packing"].lower_bound <= answers["packing"].gpus
    assert next(iter(ALGORITHMS)) == "packing"


def test_every_group_of_ours_is_admitted_by_its_own_recommendation(
    problem: Problem, answers: dict[str, Placement], pair: Pair
) -> None:
    for each in answers["packing"].assignments:
        alone = recommend(problem.inventory.take(np.array(each.adapters)), pair, Objective())
        assert not alone.admission.rejected
        assert alone.settings is not None
        assert alone.settings.max_lora_rank == each.settings.max_lora_rank


def test_ours_ends_level(answers: dict[str, Placement]) -> None:
    load = np.array([each.load for each in answers["packing"].assignments])
    assert load.min() > 0.8 * load.max()


def test_who_balances_in_advance_balances(answers: dict[str, Placement]) -> None:
    load = loads(answers["dlora"])
    assert load.max() - load.min() < 0.02 * load.mean()


def test_who_is_aware_of_ranks_mixes_few(problem: Problem, answers: dict[str, Placement]) -> None:
    rank = problem.inventory.mix.rank

    def mixed(answer: Placement) -> float:
        return float(np.mean([len(set(rank[list(each.adapters)])) for each in answer.assignments]))

    assert mixed(answers["loraserve"]) < 2.5 < mixed(answers["random"])


def test_who_knows_the_backbone_alone_packs_too_much(answers: dict[str, Placement]) -> None:
    assert answers["max-backbone"].gpus < answers["packing"].gpus
    assert not answers["max-backbone"].holds
    assert not answers["max-backbone"].optimal


def test_chance_is_the_seeds(problem: Problem, answers: dict[str, Placement]) -> None:
    assert place(problem, "random") == answers["random"]
    assert place(replace(problem, seed=1), "random").assignments != answers["random"].assignments


def test_random_has_a_slot_for_everyone(answers: dict[str, Placement]) -> None:
    assert all(each.settings.max_loras == len(each.adapters) for each in answers["random"].assignments)


def test_the_greedy_one_fills_to_test_points_the_largest_ranks_first(
    problem: Problem, answers: dict[str, Placement]
) -> None:
    sizes = [len(each.adapters) for each in answers["greedy"].assignments]
    assert all(size <= 8 or size == 16 or size % 32 == 0 for size in sizes[:-1])
    rank = problem.inventory.mix.rank
    largest = [rank[list(each.adapters)].max() for each in answers["greedy"].assignments]
    assert largest == sorted(largest, reverse=True)


def test_adapters_of_large_rank_do_not_make_every_slot_large() -> None:
    count, llama = 400, load_zoo().pairs[0]
    length = np.full(count, 200.0)
    rank = np.where(np.arange(count) % 8 == 0, 64.0, 8.0)
    mix = Workload(rank, np.full(count, 0.05), length, length, length, length, np.ones(count))
    answer = place(Problem(of(mix), (GpuType(llama),)))
    assert {each.settings.max_lora_rank for each in answer.assignments} == {8, 64}
    assert not answer.unplaced


def test_adapters_with_no_traffic_are_placed_too(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(5), 30)
    for rate in (np.zeros(30), np.where(np.arange(30) < 20, 0.0, mix.rate)):
        answer = place(Problem(of(replace(mix, rate=rate)), (GpuType(pair),)))
        assert answer.gpus == answer.lower_bound == 1
        assert answer.optimal
        assert not answer.unplaced


def test_an_adapter_that_nobody_serves_is_told_and_the_rest_placed(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(6), 40)
    rate = np.where(np.arange(40) == 7, 900.0, mix.rate)
    answer = place(Problem(of(replace(mix, rate=rate)), (GpuType(pair),)))
    assert list(answer.unplaced) == [7]
    assert "even alone" in answer.unplaced[7]
    assert not answer.holds


def test_a_fixed_number_of_gpus_is_balanced_or_the_rest_told(problem: Problem, answers: dict[str, Placement]) -> None:
    fewest = answers["packing"].gpus
    more = place(replace(problem, gpus=fewest + 2))
    assert more.gpus == fewest + 2
    assert not more.unplaced
    load = np.array([each.load for each in more.assignments])
    assert load.min() > 0.7 * load.max()
    fewer = place(replace(problem, gpus=fewest - 1))
    assert fewer.gpus == fewest - 1
    assert fewer.unplaced
    assert not any(each.missed for each in fewer.assignments)


def test_headroom_takes_more_gpus_which_hold_with_that_much_more_traffic(
    problem: Problem, answers: dict[str, Placement]
) -> None:
    wanted = replace(problem, headroom=0.5)
    answer = place(wanted)
    assert answer.gpus > answers["packing"].gpus
    servers = Servers(wanted)
    assert all(not servers.judge(Group(each.adapters)).missed for each in answer.assignments)


def test_the_best_so_far_is_kept_where_it_is_interrupted(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(servers: Servers) -> Iterator[list[Group]]:
        for groups in ALGORITHMS["max-backbone"](servers):
            yield groups
            raise KeyboardInterrupt

    def at_once(_: Servers) -> Iterator[list[Group]]:
        raise KeyboardInterrupt
        yield []

    whole = place(problem, "max-backbone")
    with monkeypatch.context() as patch:
        patch.setitem(ALGORITHMS, "stopped", stopped)
        patch.setitem(ALGORITHMS, "at once", at_once)
        answer = place(problem, "stopped")
        assert answer.interrupted
        assert answer.assignments == whole.assignments
        assert answer.document(problem.inventory)["interrupted"] is True
        with pytest.raises(KeyboardInterrupt):
            place(problem, "at once")


def test_replicas_of_a_giant_are_on_gpus_of_their_own(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(7), 20)
    rate = np.where(np.arange(20) == 3, 20.0, mix.rate)
    servers = Servers(Problem(of(replace(mix, rate=rate)), (GpuType(pair),), replicas=True))
    items = items_of(servers)
    parts = np.flatnonzero(items.adapter == 3)
    assert len(parts) > 1
    assert items.weight[parts].sum() == pytest.approx(1.0)
    assert any(set(parts) <= set(group) for group in items.apart)


def test_cheaper_gpus_come_first(pair: Pair, problem: Problem) -> None:
    types = (GpuType(pair, 3.0), GpuType(pair, 1.0, at_most=2))
    answer = place(replace(problem, gpu_types=types))
    used = [each.gpu_type.price for each in answer.assignments]
    assert used.count(1.0) == 2
    assert not answer.unplaced


def test_groups_that_are_judged_grow_with_the_gpus_not_with_the_adapters(pair: Pair) -> None:
    def judged(count: int) -> tuple[int, int]:
        length = np.full(count, 100.0)
        ranks = np.array([8.0, 16.0, 32.0])[np.arange(count) % 3]
        rate = np.array([0.4, 0.2, 0.1, 0.05])[np.arange(count) % 4] * 300 / count
        servers = Servers(Problem(of(Workload(ranks, rate, *[length] * 4, np.ones(count))), (GpuType(pair),)))
        *_, groups = ALGORITHMS["packing"](servers)
        return servers.evaluations, len(groups)

    few, _ = judged(300)
    many, gpus = judged(3000)
    assert many < 4 * max(few, 10 * gpus)
