"""The steps where an adapter is on several GPUs, before and after on other numbers of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advisor.place.changes.previous import read
from advisor.place.place import place
from advisor.place.problem import GpuType, Problem
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix


@pytest.mark.parametrize("rates", [(14.0, 5.0), (5.0, 14.0)])
def test_an_adapter_of_several_gpus_leaves_those_that_are_stopped(
    pair: Pair, tmp_path: Path, rates: tuple[float, float]
) -> None:
    """GPUs that more requests for it overload are told before, by the shares that come to them then."""
    mix = random_mix(np.random.default_rng(1), 6)
    old, new = (
        Problem(of(replace(mix, rate=np.append(rate, mix.rate[1:]))), (GpuType(pair),), replicas=True, time_s=0.1)
        for rate in rates
    )
    path = tmp_path / "previous.json"
    path.write_text(json.dumps(place(old).document(old.inventory)))
    previous = read(path)
    answer = place(new, previous=previous)
    assert answer.changes is not None
    there = {gpu: {int(name.split("-")[1]) for name in each.adapters} for gpu, each in previous.items()}
    for step in answer.changes.steps:
        if step.what == "start":
            there[step.gpu] = set()  # type: ignore[index]
        elif step.what == "stop":
            assert not there.pop(step.gpu)  # type: ignore[call-overload]
        elif step.what == "remove" and step.adapter is not None:
            there[step.gpu].remove(step.adapter)  # type: ignore[index]
        elif step.adapter is not None:
            there[step.gpu].add(step.adapter)  # type: ignore[index]
            if step.source is not None:
                there[step.source].remove(step.adapter)  # type: ignore[index]
    assert there == {each.gpu: set(each.adapters) for each in answer.assignments}
    assert bool(answer.changes.overloaded) == (rates[1] > rates[0])
