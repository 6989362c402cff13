"""The steps lead from one placement to the other, and no GPU is overloaded on the way; who can stays where it is."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.inventory.inventory import Inventory
from advisor.place.changes.copies import Copies
from advisor.place.changes.previous import Running, read
from advisor.place.judge.running import missed_under
from advisor.place.judge.servers import Servers
from advisor.place.place import place
from advisor.place.placement import Group, Placement
from advisor.place.problem import GpuType, Problem
from advisor.place.steps import SPARE
from advisor.report.placement import write
from advisor.zoo.pair import Pair
from tests.advisor.deploy.write.placements import placed
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix
from twin.workload import Workload


def alike(one: Workload, count: int) -> Workload:
    """So many adapters as one is."""
    return one.take(np.zeros(count, dtype=np.int64))


def saved(answer: Placement, inventory: Inventory, folder: Path) -> dict[int, Running]:
    path = folder / "previous.json"
    path.write_text(json.dumps(answer.document(inventory)))
    return read(path)


def replayed(answer: Placement, previous: dict[int, Running], problem: Problem) -> None:
    """Does the steps, and looks at every state."""
    servers, inventory = Servers(problem), problem.inventory
    position = {name: i for i, name in enumerate(inventory.names)}
    new = {each.gpu: each for each in answer.assignments}
    types = {gpu: next(i for i, t in enumerate(problem.gpu_types) if t is each.gpu_type) for gpu, each in new.items()}
    there: dict[Any, set[int]] = {
        gpu: {position[name] for name in each.adapters if name in position} for gpu, each in previous.items()
    }
    flags: dict[Any, Any] = {gpu: each.flags for gpu, each in previous.items()}
    assert answer.changes is not None
    changes = answer.changes
    served_before = Counter(adapter for adapters in there.values() for adapter in adapters)
    for step in changes.steps:
        if step.what == "start":
            there[step.gpu] = set()
            flags[step.gpu] = None if step.gpu == SPARE else new[step.gpu].flags  # type: ignore[index]
        elif step.what == "restart":
            flags[step.gpu] = new[step.gpu].flags  # type: ignore[index]
        elif step.what == "stop":
            assert not there.pop(step.gpu)
        elif step.what == "remove":
            if step.adapter is not None:
                there[step.gpu].remove(step.adapter)
        else:
            assert step.adapter is not None
            assert step.adapter not in there[step.gpu]
            there[step.gpu].add(step.adapter)
            if step.source is not None:
                there[step.source].remove(step.adapter)
            gpu_type = types.get(step.gpu, 0)  # type: ignore[arg-type]
            group = Group(tuple(sorted(there[step.gpu])), gpu_type)
            if step.gpu not in changes.forced:
                missed = (
                    servers.judge(group).missed
                    if flags[step.gpu] is None
                    else missed_under(servers, group, flags[step.gpu])
                )
                assert not missed, (step, missed)
    assert SPARE not in there, "it is needed meanwhile only"
    assert {gpu: adapters for gpu, adapters in there.items() if gpu in new} == {
        gpu: set(each.adapters) for gpu, each in new.items()
    }
    assert all(not adapters for gpu, adapters in there.items() if gpu not in new)
    moves = [step for step in changes.steps if step.what == "move"]
    assert (
        len(moves) == len(changes.moved) + len(changes.detours) - len(changes.paused) + len(set(changes.paused))
        or problem.copies
    )
    assert changes.kept + len(changes.moved) + len(changes.added) + len(changes.removed) >= len(served_before)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_steps_lead_to_the_new_placement(
    pair: Pair, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    mix = random_mix(np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))), data.draw(st.integers(2, 60)))
    mix = replace(mix, rate=mix.rate * 4)
    problem = Problem(of(mix), (GpuType(pair),), time_s=0.2)
    before = place(problem)
    previous = saved(before, problem.inventory, tmp_path_factory.mktemp("previous"))
    factor = data.draw(st.sampled_from([0.4, 0.9, 1.0, 1.3, 2.0]))
    left = data.draw(st.integers(1, len(mix)))
    pins = data.draw(st.sampled_from([{}, {0: 0}, {left - 1: 1}]))
    kept = np.arange(len(mix))[:left]
    changed = replace(mix.take(kept), rate=mix.rate[:left] * factor)
    later = Problem(of(changed), (GpuType(pair),), time_s=0.2, pins=pins)
    answer = place(later, previous=previous)
    replayed(answer, previous, later)
    fresh = place(later)
    assert (len(answer.unplaced), answer.gpus) <= (len(fresh.unplaced), fresh.gpus)
    assert all(not each.missed for each in answer.assignments)
    assert place(later, previous=previous) == answer
    json.dumps(answer.document(later.inventory))


def spread(answer: Placement, previous: dict[int, Running], problem: Problem) -> int:
    """Does the steps as a router spreads requests evenly over the copies that it knows; how many states it looked at.

    It knows new copies once as many are loaded as there are to be.
    """
    servers, position = Servers(problem), {name: i for i, name in enumerate(problem.inventory.names)}
    new = {each.gpu: each for each in answer.assignments}
    there: dict[Any, set[int]] = {gpu: {position[name] for name in each.adapters} for gpu, each in previous.items()}
    flags: dict[Any, Any] = {gpu: each.flags for gpu, each in previous.items()}
    old, wanted = {gpu: set(adapters) for gpu, adapters in there.items()}, Counter[int]()
    for each in answer.assignments:
        wanted.update(each.adapters)
    changes, seen = answer.changes, 0
    assert changes is not None
    for step in changes.steps:
        if step.what in ("start", "restart"):
            there.setdefault(step.gpu, set())
            flags[step.gpu] = None if step.gpu == SPARE else new[step.gpu].flags  # type: ignore[index]
        elif step.what == "stop":
            del there[step.gpu]
        elif step.what == "remove":
            there[step.gpu].remove(step.adapter)  # type: ignore[arg-type]
        else:
            there[step.gpu].add(step.adapter)  # type: ignore[arg-type]
            if step.source is not None:
                there[step.source].remove(step.adapter)  # type: ignore[arg-type]
        for gpu in (each for each in there.keys() - {*changes.overloaded, *changes.forced} if there[each]):
            shares = dict[int, float]()
            for adapter in there[gpu]:
                copies = [other for other in there if adapter in there[other]]
                if len(copies) < wanted[adapter]:
                    copies = [other for other in copies if adapter in old.get(other, ())]
                shares[adapter] = 1 / len(copies) if gpu in copies else 0.0
            group, fixed = Group(tuple(sorted(there[gpu])), weights=shares), flags[gpu]
            missed = servers.judge(group).missed if fixed is None else missed_under(servers, group, fixed)
            assert not missed, (step, gpu, missed)
            seen += 1
    return seen


def with_giant(pair: Pair, seed: int) -> tuple[Workload, np.ndarray[tuple[int], np.dtype[np.bool_]], float]:
    """Thirty adapters, which of them is the first, and about the most requests/s of that one that a GPU serves."""
    mix, giant = random_mix(np.random.default_rng(seed), 30), np.arange(30) == 0
    servers = Servers(Problem(of(replace(mix, rate=np.where(giant, 1.0, mix.rate * 2))), (GpuType(pair),)))
    bears = 0.1
    while not servers.judge(Group((0,), weights={0: 1.03 * bears})).missed:
        bears *= 1.03
    return mix, giant, bears


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("times", [2.6, 4.0])
def test_no_copy_gets_more_than_it_bears_until_all_are_there(
    pair: Pair, tmp_path: Path, seed: int, times: float
) -> None:
    mix, giant, bears = with_giant(pair, seed)

    def problem(rate: float) -> Problem:
        rates = np.where(giant, rate, mix.rate * 2)
        return Problem(of(replace(mix, rate=rates)), (GpuType(pair),), time_s=0.2, replicas=True)

    previous = saved(place(problem(0.8 * bears)), problem(1.0).inventory, tmp_path)
    later = problem(times * bears)
    answer = place(later, previous=previous)
    assert answer.changes is not None and answer.changes.routed_together == (0,) and not answer.unplaced
    assert spread(answer, previous, later)
    assert "only once all of the adapter's are loaded" in " ".join(write(answer, later.inventory).split())


def test_a_copy_keeps_what_comes_to_it_until_as_many_are_there_as_there_are_to_be(pair: Pair) -> None:
    quarter = {0: 0.25}
    _, new = placed(pair, ["giant", "small"], {0: {**quarter, 1: 1.0}, 1: quarter, 2: quarter, 3: quarter})
    copies = Copies(new, {0: Running(("giant",), {}, None)}, {"giant": 0, "small": 1})
    assert copies.routed_together == (0,) and copies.final == quarter
    for there in range(1, 4):
        now: dict[Any, set[int]] = {gpu: {0} if gpu < there else set() for gpu in range(4)}
        assert copies.missing(0, there)
        assert copies.weights(0, {0, 1}, now) == {0: 1.0}
        # Where it comes to as the last of them, it gets its part.
        assert copies.weights(3, {0}, now) == quarter
    assert not copies.missing(0, 4) and copies.weights(0, {0, 1}, {gpu: {0} for gpu in range(4)}) == quarter
    halves = Running(("giant",), {}, None, weights={"giant": 0.5})
    assert Copies(new, {0: halves, 1: halves, 2: halves}, {"giant": 0}).routed_together == ()


@pytest.mark.parametrize("seed", range(3))
def test_others_come_where_a_giant_was_only_once_its_copies_are_there(pair: Pair, tmp_path: Path, seed: int) -> None:
    mix, giant, bears = with_giant(pair, seed)
    inventory = of(replace(mix, rate=np.where(giant, bears, mix.rate * 2)))
    before = Problem(inventory, (GpuType(pair),), time_s=0.2, pins={0: 0})
    previous = saved(place(before), inventory, tmp_path)
    others = [each for each in range(1, 30) if inventory.names[each] not in previous[0].adapters]
    # The GPU of the giant waits for the fewest adapters, so that its turn is the first.
    pins = {0: 0, **dict.fromkeys(others[:4], 0), **{each: 2 + i % 2 for i, each in enumerate(others[4:])}}
    later = replace(before, copies={0: 4}, pins=pins)
    answer = place(later, previous=previous)
    assert answer.changes is not None and not answer.changes.overloaded and not answer.changes.forced
    assert answer.changes.routed_together == (0,) and spread(answer, previous, later)
    on = [step.adapter for step in answer.changes.steps if step.what in ("move", "add")]
    assert set(on) > {0}


def test_full_gpus_change_places_by_way_of_a_spare_one_that_is_stopped(pair: Pair, tmp_path: Path) -> None:
    """Two GPUs without room for one more adapter, whose adapters all belong on the other one now."""
    one = random_mix(np.random.default_rng(3), 1)
    one = replace(one, rate=one.rate * 5)  # a GPU is full with a few
    full = 1
    while not Servers(Problem(of(alike(one, full + 1)), (GpuType(pair),))).judge(Group(tuple(range(full + 1)))).missed:
        full += 1
    problem = Problem(of(alike(one, 2 * full)), (GpuType(pair),), pins={each: each // full for each in range(2 * full)})
    previous = saved(place(problem), problem.inventory, tmp_path)
    swapped = replace(problem, pins={each: 1 - gpu for each, gpu in problem.pins.items()})
    answer = place(swapped, previous=previous)
    assert answer.changes is not None and answer.changes.spare
    assert [(step.what, step.gpu) for step in answer.changes.steps if step.what in ("start", "stop")] == [
        ("start", SPARE),
        ("stop", SPARE),
    ]
    replayed(answer, previous, swapped)


def test_nothing_changes_where_nothing_has(pair: Pair, tmp_path: Path) -> None:
    mix = random_mix(np.random.default_rng(5), 150)
    problem = Problem(of(replace(mix, rate=mix.rate * 2)), (GpuType(pair),), time_s=0.2)
    before = place(problem)
    answer = place(problem, previous=saved(before, problem.inventory, tmp_path))
    assert before.gpus > 1
    assert answer.assignments == before.assignments
    assert answer.changes is not None
    assert (answer.changes.steps, answer.changes.kept) == ((), 150)


@pytest.mark.parametrize("idle", [0, 60])
def test_a_fixed_number_in_host_memory_overloads_nothing(pair: Pair, tmp_path: Path, idle: int) -> None:
    """A server holds as many as that, whoever judges it: what was placed is nothing that a plan finds overloaded."""
    mix = random_mix(np.random.default_rng(5), 70)
    mix = replace(mix, rate=np.append(mix.rate[: 70 - idle], np.zeros(idle)))
    problem = Problem(replace(of(mix), fixed={"max_cpu_loras": 16}), (GpuType(pair),), time_s=0.2)
    before = place(problem)
    assert not before.unplaced
    assert max(len(each.adapters) for each in before.assignments) <= 16
    assert before.gpus >= before.lower_bound >= 5
    answer = place(problem, previous=saved(before, problem.inventory, tmp_path))
    assert answer.changes is not None
    assert (answer.changes.steps, answer.changes.overloaded) == ((), ())


def test_one_more_adapter_moves_no_other(pair: Pair, tmp_path: Path) -> None:
    mix = random_mix(np.random.default_rng(6), 150)
    mix = replace(mix, rate=mix.rate * 1.5)
    problem = Problem(of(mix.take(np.arange(149))), (GpuType(pair),))
    previous = saved(place(problem), problem.inventory, tmp_path)
    answer = place(replace(problem, inventory=of(mix)), previous=previous)
    assert answer.changes is not None
    assert answer.changes.added == (149,)
    assert not answer.changes.moved or answer.gpus < len(previous)  # moved only where that saves a GPU


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ("{}", "assignments: Field required"),
        ('{"assignments": [{"gpu": "0", "adapters": []}]}', r"assignments\.0\.gpu: Input should be a valid integer"),
        (
            '{"assignments": [{"gpu": 0, "adapters": [1]}]}',
            r"assignments\.0\.adapters\.0: Input should be a valid string",
        ),
        ('{"assignments": [{"gpu": 0, "adapters": ["a", "a"]}]}', "GPU 0 has an adapter twice"),
        ('{"assignments": [{"gpu": 0, "adapters": []}, {"gpu": 0, "adapters": []}]}', "GPU 0 is there twice"),
        (
            '{"assignments": [{"gpu": 0, "adapters": [], "flags": {"max_loras": NaN}}]}',
            "Invalid JSON|finite|valid integer",
        ),
    ],
)
def test_what_is_no_placement(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "previous.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read(path)
    assert str(error.value).endswith("an earlier placement is what `advisor place` wrote as JSON")
