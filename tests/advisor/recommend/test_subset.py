"""An admitted subset keeps the mix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from advisor.recommend.subset import order, spread
from tests.advisor import inventories
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix

seeds = st.integers(0, 2**32)


@given(seeds, st.data())
def test_every_rank_keeps_its_share(seed: int, data: st.DataObject) -> None:
    inventory = inventories.random(seed)
    size = data.draw(st.integers(1, len(inventory)))
    chosen = spread(order(inventory), size)
    assert len(set(chosen.tolist())) == size == len(chosen)
    assert (np.diff(chosen) > 0).all()
    for rank in np.unique(inventory.mix.rank):
        share = (inventory.mix.rank == rank).sum() * size / len(inventory)
        assert abs((inventory.mix.rank[chosen] == rank).sum() - share) <= 1


@given(seeds, seeds)
def test_the_order_of_the_file_does_not_matter(seed: int, shuffle: int) -> None:
    inventory = inventories.random(seed)
    shuffled = np.random.default_rng(shuffle).permutation(len(inventory))
    other = replace(
        inventory, names=tuple(inventory.names[i] for i in shuffled), workload=inventory.workload.take(shuffled)
    )
    size = (len(inventory) + 1) // 2
    ours = {inventory.names[i] for i in spread(order(inventory), size)}
    assert ours == {other.names[i] for i in spread(order(other), size)}


def test_the_load_of_a_half_is_about_half() -> None:
    inventory = of(random_mix(np.random.default_rng(1), 200))
    half = inventory.mix.take(spread(order(inventory), 100))
    assert abs(half.offered_tok_s / inventory.mix.offered_tok_s - 0.5) < 0.02
