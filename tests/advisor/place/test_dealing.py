"""Adapters that only hold among others are dealt out, and every group that is made holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.place.algorithms.dealing import deal_by_rank, evenly
from advisor.place.algorithms.items import items_of
from advisor.place.algorithms.packing import pack
from advisor.place.judge.servers import Server, Servers
from advisor.place.placement import Group
from advisor.place.problem import GpuType, Problem
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from twin.workload import Workload

COUNT, SLOW = 240, 40
"""Adapters, and how many of them are slow, the first."""
MOST, SLOW_SHARE = 30, 0.2
"""Adapters that a GPU serves, and the share of them that may be slow."""


class Means(Servers):
    """Judges as means do: who is slow is lost among enough others. Alone, or among their like, nobody slow holds."""

    def judge(self, group: Group) -> Server:
        """Whether it is not too many, and of them not too many slow ones."""
        self.evaluations += 1
        slow = sum(adapter < SLOW for adapter in group.adapters)
        missed = len(group.adapters) > MOST or slow > SLOW_SHARE * len(group.adapters)
        return Server(None, ("too slow",) if missed else ())


@pytest.fixture
def servers(pair: Pair) -> Means:
    """Slow ones of long prompts, long answers and few requests, as much work each as anyone else's."""
    slow = np.arange(COUNT) < SLOW
    lengths = np.where(slow, 2000.0, 200.0)
    rate, rank = np.where(slow, 0.01, 0.1), np.full(COUNT, 16.0)
    mix = Workload(rank, rate, lengths, lengths / 2, lengths, lengths / 2, np.where(slow, 4.0, 1.0))
    return Means(Problem(of(mix), (GpuType(pair),)))


def test_who_only_holds_among_others_is_left_on_no_gpu_by_no_order(servers: Means) -> None:
    *_, groups = pack(servers)
    assert sorted(adapter for group in groups for adapter in group.adapters) == list(range(COUNT))
    assert not any(servers.judge(group).missed for group in groups)
    assert len(groups) <= 1.5 * COUNT / MOST


def test_who_is_dealt_out_holds_and_ranks_are_joined_only_where_that_saves_gpus(servers: Means) -> None:
    items = items_of(servers)
    dealt = deal_by_rank(servers, items, items.free, until=10_000)
    assert all(not servers.judge(items.group(gpu)).missed for gpu in dealt)
    workload = servers.problem.inventory.workload
    ranks = np.where(np.arange(COUNT) % 2, 8.0, 64.0)
    problem = replace(
        servers.problem, inventory=replace(servers.problem.inventory, workload=replace(workload, rank=ranks))
    )
    apart = Means(problem)
    items = items_of(apart)
    both = deal_by_rank(apart, items, items.free, until=10_000)
    assert sorted(np.concatenate(both).tolist()) == list(range(COUNT))
    assert len(both) == len(dealt) or all(len(set(ranks[gpu])) == 1 for gpu in both)


def test_nothing_is_judged_beyond_the_limit(servers: Means) -> None:
    items = items_of(servers)
    assert deal_by_rank(servers, items, items.free, until=servers.evaluations) == []


def test_evenly_is_even() -> None:
    sizes = np.random.default_rng(0).uniform(0, 1, 100)
    sums = [float(sizes[gpu].sum()) for gpu in evenly(sizes, np.argsort(-sizes), 7)]
    assert max(sums) - min(sums) < 0.1
