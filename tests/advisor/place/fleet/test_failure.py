"""Any one GPU may fail, and what stands by serves what it served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.cli.commands.placing import problem_of
from advisor.errors import InputError
from advisor.place.judge.running import missed_under
from advisor.place.judge.servers import Servers
from advisor.place.place import place
from advisor.place.placement import Group
from advisor.place.problem import GpuType, Problem
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix

EXAMPLES = Path(__file__).parents[4] / "examples"


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 150), headroom=st.sampled_from([0.0, 0.3]))
def test_whoever_fails_is_replaced(pair: Pair, seed: int, size: int, headroom: float) -> None:
    mix = random_mix(np.random.default_rng(seed), size)
    problem = Problem(
        of(replace(mix, rate=mix.rate * 1.5)), (GpuType(pair),), failures=1, headroom=headroom, time_s=0.2
    )
    answer = place(problem)
    servers = Servers(problem)
    by_gpu = {each.gpu: each for each in answer.assignments}
    assert len(by_gpu) == answer.gpus
    for each in answer.assignments:
        takers = {answer.standby.get(adapter) for adapter in each.adapters}
        if any("no spare GPU" in warning for warning in answer.warnings):
            continue
        assert None not in takers
        for gpu in takers:
            assert gpu is not None
            assert gpu != each.gpu
            spare = by_gpu[gpu]
            taken = tuple(adapter for adapter in each.adapters if answer.standby[adapter] == gpu)
            assert not missed_under(servers, Group(tuple(sorted((*spare.adapters, *taken)))), spare.flags)
    assert answer.lower_bound <= answer.gpus or answer.unplaced


def test_of_a_fixed_number_of_gpus_one_stands_by(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(1), 20)
    problem = Problem(of(replace(mix, rate=mix.rate / 10)), (GpuType(pair),), gpus=2, failures=1)
    answer = place(problem)
    assert answer.gpus == 2
    assert sorted(len(each.adapters) for each in answer.assignments) == [0, 20]
    with pytest.raises(InputError, match="one GPU may fail, so that two are needed at least"):
        place(replace(problem, gpus=1))


@pytest.mark.parametrize("limits", ["gpus", "at_most"])
def test_what_stands_by_is_of_the_gpus_that_there_are(limits: str) -> None:
    """Two of the four stand by, for no server has flags that serve the adapters of any: the others serve fewer."""
    problem = replace(problem_of(EXAMPLES / "fleet.toml", None), headroom=0.3, failures=1)
    if limits == "gpus":
        problem = replace(problem, gpus=4)
    else:
        problem = replace(problem, gpu_types=(replace(problem.gpu_types[0], at_most=4),))
    answer = place(problem)
    assert answer.gpus == 4
    assert sum(bool(each.standby) for each in answer.assignments) == 2
    assert answer.unplaced
    assert not answer.unprotected
    assert {adapter for each in answer.assignments for adapter in each.adapters} == answer.standby.keys()


def test_where_the_only_gpu_serves_nothing_stands_by(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(1), 20)
    answer = place(Problem(of(replace(mix, rate=mix.rate / 10)), (GpuType(pair, at_most=1),), failures=1))
    assert [len(each.adapters) for each in answer.assignments] == [20]
    assert answer.unprotected == (0,)
    assert any("no spare GPU" in warning for warning in answer.warnings)
