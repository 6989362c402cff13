"""Adapters that are asked at the same moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.inventory.inventory import Inventory, parse
from advisor.together import drawn, groups
from tests.advisor.inventories import PLAIN
from twin.workload import BASE, Requests, draw

PANEL = """
[[adapters]]
name = "judge"
count = 3
rank = 16
rate = 0.5
together = "panel"

[[adapters]]
name = "seldom"
rank = 16
rate = 0.125
output = { mean = 1, std = 0 }
together = "panel"

[[adapters]]
name = "never"
rank = 16
rate = 0
together = "panel"

[base]
rate = 0.2
"""
HOURS_S = 20_000.0


@pytest.fixture(scope="module")
def panel() -> Inventory:
    return parse(PLAIN + PANEL)


@pytest.fixture(scope="module")
def requests(panel: Inventory) -> Requests:
    return drawn(panel, HOURS_S, seed=3)


def moments(requests: Requests, inventory: Inventory, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return requests.arrival[requests.adapter == inventory.names.index(name)]


def test_all_of_a_group_are_asked_at_the_same_moments(panel: Inventory, requests: Requests) -> None:
    first = moments(requests, panel, "judge-0")
    assert len(first) == pytest.approx(0.5 * HOURS_S, rel=0.05)
    for other in ("judge-1", "judge-2"):
        assert np.array_equal(moments(requests, panel, other), first)
    assert not len(moments(requests, panel, "never"))


def test_who_is_asked_less_often_is_asked_at_some_of_them(panel: Inventory, requests: Requests) -> None:
    seldom = moments(requests, panel, "seldom")
    assert np.isin(seldom, moments(requests, panel, "judge-0")).all()
    assert len(seldom) == pytest.approx(0.125 * HOURS_S, rel=0.1)


def test_others_keep_their_own_moments_and_all_their_lengths(panel: Inventory, requests: Requests) -> None:
    plain = draw(panel.workload, HOURS_S, seed=3)
    assert np.all(np.diff(requests.arrival) >= 0)
    together = np.intersect1d(moments(requests, panel, "sql-0"), moments(requests, panel, "judge-0"))
    assert not len(together)
    assert (requests.adapter == BASE).sum() == pytest.approx((plain.adapter == BASE).sum(), rel=0.1)
    for name in ("judge-0", "judge-2", "sql-1"):
        of = requests.adapter == panel.names.index(name)
        assert requests.input[of].mean() == pytest.approx(100, rel=0.1)
        assert requests.output[of].mean() == pytest.approx(110, rel=0.1)
    assert (requests.output[requests.adapter == panel.names.index("seldom")] == 1).all()
    first, second = (requests.input[requests.adapter == panel.names.index(f"judge-{i}")] for i in (0, 1))
    assert not np.array_equal(first, second)


def test_the_same_seed_gives_the_same_requests(panel: Inventory, requests: Requests) -> None:
    again, other = drawn(panel, HOURS_S, seed=3), drawn(panel, HOURS_S, seed=4)
    assert np.array_equal(again.arrival, requests.arrival) and np.array_equal(again.input, requests.input)
    assert not np.array_equal(other.arrival[:100], requests.arrival[:100])


def test_a_group_that_is_there_twice_is_two_groups(panel: Inventory) -> None:
    some = panel.only(["judge-0", "judge-1", "sql-0"])
    twice = some.take(np.array([0, 1, 2, 1, 2]))
    assert [len(each) for each in groups(twice)] == [2, 2]
    assert not groups(panel.only(["judge-0", "sql-0"])) and not groups(replace(panel, together={}))
