"""How much of a GPU is filled is learned anew where slots become smaller."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from advisor.place.algorithms.filling import fill_all
from advisor.place.algorithms.items import items_of
from advisor.place.judge.servers import Servers
from advisor.place.place import place
from advisor.place.problem import GpuType, Problem
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import load_zoo
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix
from twin.workload import Workload


def test_gpus_of_small_ranks_are_filled_whatever_the_large_ones_before_them_served() -> None:
    """Slots of rank 128 leave less of a GPU to serve with; those that follow have smaller ones."""
    count, large, llama = 260, 40, load_zoo().pairs[0]
    length, ones = np.full(count, 200.0), np.ones(count)
    mix = Workload(np.where(np.arange(count) < large, 128.0, 8.0), 0.12 * ones, length, length, length, length, ones)
    servers = Servers(Problem(of(mix), (GpuType(llama),)))
    items = items_of(servers)
    small = [each for each in fill_all(servers, items, np.arange(count))[:-1] if mix.rank[each.items].max() == 8]
    assert small
    for each in small:
        others = np.setdiff1d(np.arange(large, count), each.items)
        more = np.concatenate([each.items, others[: len(each.items) // 10]])
        assert servers.judge(items.group(more)).missed, f"{len(each.items)} adapters, and a tenth more hold as well"


def test_gpus_for_adapters_that_are_never_asked_have_nothing_to_share(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(1), 4)
    servers = Servers(Problem(of(replace(mix, rate=0 * mix.rate)), (GpuType(pair),)))
    items = items_of(servers)
    filled = fill_all(servers, items, items.free, limits=[0.0, 0.0])
    assert sum(len(each.items) for each in filled) == 4


def test_load_is_of_the_longest_sequence_that_is_settled_on(pair: Pair) -> None:
    """A server without room for the model's own longest sequence is not full for that: a shorter one is recommended."""
    mix = random_mix(np.random.default_rng(1), 20)
    mix = replace(mix, rate=mix.rate / 10)
    memory = pair.profile.memory.model_copy(update={"kv_tokens_base": 0.7 * pair.profile.memory.max_model_len})
    small = replace(pair, profile=pair.profile.model_copy(update={"memory": memory}))
    (whole,), (part,) = (place(Problem(of(mix), (GpuType(each),))).assignments for each in (pair, small))
    assert part.settings.max_model_len is None or part.settings.max_model_len < pair.profile.memory.max_model_len
    assert part.load < 3 * whole.load
