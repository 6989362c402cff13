"""A Dask cluster's workers find what this process finds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from distributed import LocalCluster

from advisor.errors import InputError
from advisor.place.place import place
from advisor.place.problem import GpuType, Problem
from advisor.place.verification.cluster import spread_over
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix


def test_workers_simulate_the_same(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(5), 40)
    problem = Problem(of(replace(mix, rate=mix.rate * 4)), (GpuType(pair),))
    workers = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp")
    with workers as cluster, spread_over(cluster.scheduler_address) as mapped:
        there = place(problem, verify=True, mapped=mapped)
    here = place(problem, verify=True)
    assert there.gpus > 1

    def without_time(each: object) -> dict[str, object]:
        return {key: value for key, value in (each or {}).items() if key != "wall_s"}  # type: ignore[attr-defined]

    assert [without_time(each.verified) for each in there.assignments] == [
        without_time(each.verified) for each in here.assignments
    ]


def test_workers_place_whole_inventories(pair: Pair) -> None:
    mixes = [random_mix(np.random.default_rng(seed), 60) for seed in (1, 2)]
    problems = [Problem(of(replace(mix, rate=mix.rate * 3)), (GpuType(pair),)) for mix in mixes]
    workers = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp")
    with workers as cluster, spread_over(cluster.scheduler_address) as mapped:
        there = list(mapped(place, problems))
    for answer, problem in zip(there, problems, strict=True):
        assert answer.document(problem.inventory) == place(problem).document(problem.inventory)


@pytest.mark.parametrize("scheduler", ["tcp://127.0.0.1:1", "nonsense://x", "tcp://127.0.0.1:x"])
def test_nobody_there(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.place.verification.cluster.CONNECT_S", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers there"), spread_over(scheduler):
        pass
