"""Sets of admitted adapters are nested, keep the mix, and bring no more than their share of the load."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.inventory.inventory import Inventory
from advisor.recommend.choice.order import TRAITS, Positions, admission_order
from tests.advisor import inventories
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix
from twin.workload import Workload

seeds = st.integers(0, 2**32)


def order(inventory: Inventory) -> Positions:
    return admission_order(inventory.mix, inventory.names)


def kinds(counts: list[int], *, rates: list[float] | None = None) -> Workload:
    """So many adapters of each kind; kinds differ in rank and, where given, in rate."""
    rank = np.repeat([8.0 * (kind + 1) for kind in range(len(counts))], counts)
    rate = np.repeat(rates or [0.1] * len(counts), counts)
    return Workload(rank, rate, *(np.full(sum(counts), 100.0) for _ in range(4)), np.ones(sum(counts)))


@given(seeds)
def test_everyone_comes_once(seed: int) -> None:
    inventory = inventories.random(seed)
    assert sorted(order(inventory).tolist()) == list(range(len(inventory)))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_kinds_of_equal_load_keep_their_share_in_every_set(counts: list[int]) -> None:
    """Rounded up or down, whatever the size."""
    mix = kinds(counts)
    ranks = mix.rank[admission_order(mix, tuple(map(str, range(len(mix)))))]
    for kind, count in enumerate(counts):
        taken = np.cumsum(ranks == 8.0 * (kind + 1))
        share = count * np.arange(1, len(mix) + 1) / len(mix)
        assert (np.abs(taken - share) < 1).all()


@pytest.mark.parametrize("trait", TRAITS)
def test_adapters_that_differ_in_one_trait_alone_are_of_two_kinds(trait: str) -> None:
    mix = kinds([40])
    mix = replace(mix, **{trait: np.repeat([1.0, 1.1], 20)})
    first_half = admission_order(mix, tuple(f"{i:02}" for i in range(40)))[:20]
    assert (first_half < 20).sum() == 10


@given(seeds)
def test_no_set_brings_much_more_than_its_share_of_the_load(seed: int) -> None:
    mix = inventories.random(seed).mix
    load = (mix.rate * (mix.input_mean + mix.output_mean))[admission_order(mix, tuple(map(str, range(len(mix)))))]
    assert (np.cumsum(load) <= (np.arange(len(load)) + 1.5) * load.mean() * (1 + 1e-6)).all()


@given(seeds)
def test_a_set_of_adapters_that_all_differ_is_an_even_sample(seed: int) -> None:
    """Of each rank no more than a few too many or too few, whatever the size of the set."""
    mix = inventories.random(seed).mix
    mix = replace(mix, rate=np.linspace(0.1, 0.1001, len(mix)))
    ranks = mix.rank[admission_order(mix, tuple(map(str, range(len(mix)))))]
    slack = 2 + math.log2(len(mix))
    for rank in np.unique(ranks):
        share = (ranks == rank).mean() * np.arange(1, len(mix) + 1)
        assert (np.abs(np.cumsum(ranks == rank) - share) <= slack).all()


@given(seeds, seeds)
def test_the_order_of_the_file_does_not_matter(seed: int, shuffle: int) -> None:
    inventory = inventories.random(seed)
    shuffled = np.random.default_rng(shuffle).permutation(len(inventory))
    other = replace(
        inventory, names=tuple(inventory.names[i] for i in shuffled), workload=inventory.workload.take(shuffled)
    )
    assert [inventory.names[i] for i in order(inventory)] == [other.names[i] for i in order(other)]


def test_the_load_of_a_half_is_about_half() -> None:
    inventory = of(random_mix(np.random.default_rng(1), 200))
    half = inventory.mix.take(order(inventory)[:100])
    assert half.offered_tok_s / inventory.mix.offered_tok_s == pytest.approx(0.5, abs=0.04)


def test_who_brings_half_of_everything_comes_when_the_others_have_made_room() -> None:
    mix = kinds([50, 1, 50], rates=[0.01, 1.0, 0.01])
    (place,) = np.flatnonzero(admission_order(mix, tuple(map(str, range(101)))) == 50)
    assert place >= 49
