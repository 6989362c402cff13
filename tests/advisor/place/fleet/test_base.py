"""Requests that name no adapter are served: by all GPUs, or by GPUs of their own, whichever takes fewer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.deploy.write.fleet import launch_files
from advisor.place.bound import lower_bound
from advisor.place.changes.previous import read
from advisor.place.judge.servers import Servers
from advisor.place.place import place
from advisor.place.placement import Group, Placement
from advisor.place.problem import BaseGpus, GpuType, Problem
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix
from twin.engine.simulation import simulate
from twin.workload import Workload

WAYS = [None, *BaseGpus]


def base(rate: float) -> Workload:
    return Workload.alike(np.array([rate]), rank=1.0, input_mean=100, input_std=80, output_mean=110, output_std=90)


def beside(mix: Workload, rate: float, pair: Pair, way: BaseGpus | None = None) -> Problem:
    return Problem(of(replace(mix, base=base(rate))), (GpuType(pair),), base=way, time_s=0.2)


@pytest.fixture(scope="module")
def mix() -> Workload:
    found = random_mix(np.random.default_rng(4), 60)
    return replace(found, rate=2 * found.rate)


@pytest.fixture(scope="module")
def answers(mix: Workload, pair: Pair) -> dict[BaseGpus | None, Placement]:
    return {way: place(beside(mix, 12.0, pair, way)) for way in WAYS}


def checked(answer: Placement, problem: Problem) -> None:
    assert sum(each.base for each in answer.assignments) == pytest.approx(1.0)
    where = [adapter for each in answer.assignments for adapter in each.adapters]
    assert sorted([*where, *answer.unplaced]) == list(range(len(problem.inventory)))
    servers = Servers(problem)
    for each in answer.assignments:
        assert not servers.judge(Group(each.adapters, weights=each.weights, base=each.base)).missed
    assert answer.lower_bound <= answer.gpus
    json.dumps(answer.document(problem.inventory))


@pytest.mark.parametrize("way", WAYS)
def test_all_of_it_is_served_beside_all_adapters(
    mix: Workload, pair: Pair, answers: dict[BaseGpus | None, Placement], way: BaseGpus | None
) -> None:
    checked(answers[way], beside(mix, 12.0, pair))
    assert not answers[way].unplaced
    assert answers[way].holds


@pytest.mark.parametrize("way", WAYS)
def test_whoever_waits_is_told_of_all_that_is_judged(mix: Workload, pair: Pair, way: BaseGpus | None) -> None:
    told, judged = list[int](), Servers._judged
    with pytest.MonkeyPatch.context() as patch:
        calls = list[Group]()
        patch.setattr(Servers, "_judged", lambda self, group: (calls.append(group), judged(self, group))[1])
        place(beside(mix, 12.0, pair, way), progress=lambda done, _: told.append(done))
    assert told == list(range(1, len(calls) + 1))


def test_it_is_spread_evenly_or_goes_where_no_adapters_are(answers: dict[BaseGpus | None, Placement]) -> None:
    spread, own = answers[BaseGpus.SPREAD], answers[BaseGpus.OWN]
    assert {each.base for each in spread.assignments} == {1 / spread.gpus}
    assert all(bool(each.base) != bool(each.adapters) for each in own.assignments)
    assert len({each.base for each in own.assignments}) == 2


@pytest.mark.parametrize("failures", [0, 1])
def test_gpus_of_its_own_are_of_those_that_there_are(mix: Workload, pair: Pair, failures: int) -> None:
    problem = replace(beside(mix, 12.0, pair, BaseGpus.OWN), gpu_types=(GpuType(pair, at_most=9),), failures=failures)
    answer = place(problem)
    assert answer.base is BaseGpus.OWN
    assert not answer.unplaced
    assert {each.gpu_type for each in answer.assignments} == set(problem.gpu_types)
    few = place(replace(problem, gpu_types=(GpuType(pair, at_most=answer.gpus - 1),)))
    assert few.gpus == answer.gpus - 1
    assert few.unplaced


def test_whichever_takes_fewer(answers: dict[BaseGpus | None, Placement]) -> None:
    assert answers[None].gpus == min(each.gpus for each in answers.values())
    assert answers[answers[None].base].gpus == answers[None].gpus


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rate=st.floats(0.1, 60), way=st.sampled_from(WAYS))
def test_any_inventory(pair: Pair, seed: int, rate: float, way: BaseGpus | None) -> None:
    problem = beside(random_mix(np.random.default_rng(seed), 25), rate, pair, way)
    answer = place(problem)
    checked(answer, problem)
    assert place(problem) == answer


@pytest.mark.parametrize("way", list(BaseGpus))
def test_the_twin_finds_that_it_holds(mix: Workload, pair: Pair, way: BaseGpus) -> None:
    answer = place(beside(mix, 12.0, pair, way), exact=True)
    assert all(each.verified and not each.verified["missed"] for each in answer.assignments)
    requests = sum(each.verified["arrivals"] for each in answer.assignments if each.verified)
    assert requests == pytest.approx(3600 * (12.0 + mix.rate.sum()), rel=0.05)


def test_adapters_that_are_never_asked_share_gpus_with_it(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(5), 20)
    problem = beside(replace(mix, rate=np.zeros(20)), 3.0, pair)
    answer = place(problem)
    checked(answer, problem)
    assert answer.gpus == 1
    assert answer.assignments[0].load > 0


@pytest.mark.parametrize("way", list(BaseGpus))
def test_as_many_gpus_as_there_are(
    mix: Workload, pair: Pair, answers: dict[BaseGpus | None, Placement], way: BaseGpus
) -> None:
    problem = beside(mix, 12.0, pair, way)
    more = place(replace(problem, gpus=answers[way].gpus + 2))
    assert not more.unplaced
    assert more.gpus == answers[way].gpus + 2
    assert sum(each.base for each in more.assignments) == pytest.approx(1.0)
    fewer = place(replace(problem, gpus=answers[way].gpus - 1))
    assert fewer.unplaced or fewer.base_refused
    assert not any(each.missed for each in fewer.assignments)


def test_who_is_pinned_may_be_on_any_gpu_that_there_is(
    mix: Workload, pair: Pair, answers: dict[BaseGpus | None, Placement]
) -> None:
    last = answers[BaseGpus.OWN].gpus + 1
    answer = place(replace(beside(mix, 12.0, pair, BaseGpus.OWN), gpus=last + 1, pins={0: last}))
    assert not answer.unplaced
    assert 0 in next(each for each in answer.assignments if each.gpu == last).adapters


def test_what_no_gpu_serves_is_told_and_the_adapters_placed(mix: Workload, pair: Pair) -> None:
    problem = beside(mix, 1e6, pair)
    answer = place(problem)
    assert answer.base is None
    assert answer.base_refused
    assert not answer.holds
    assert not answer.unplaced
    assert not any(each.missed or each.base for each in answer.assignments)
    assert answer.document(problem.inventory)["unplaced"] == [{"name": "tiny-1b", "reason": answer.base_refused}]
    few = place(replace(beside(mix, 30.0, pair, BaseGpus.OWN), gpus=1))
    assert few.base_refused is not None
    assert few.base_refused.startswith("no room: they take")
    assert not any(each.missed or each.base for each in few.assignments)
    assert few.gpus == 1


@pytest.mark.parametrize("way", list(BaseGpus))
def test_any_gpu_may_fail(mix: Workload, pair: Pair, answers: dict[BaseGpus | None, Placement], way: BaseGpus) -> None:
    answer = place(replace(beside(mix, 12.0, pair, way), failures=1), verify=True)
    spares = [each for each in answer.assignments if each.base_standby]
    assert spares
    assert not any(each.base or each.adapters for each in spares)
    assert len(answer.assignments) >= answers[way].gpus + 1
    serving = len(answer.assignments) - len(spares)
    states = sum(each.verified["hours"] for each in spares if each.verified)
    assert states >= 3 * serving


def test_headroom_is_for_it_too(mix: Workload, pair: Pair, answers: dict[BaseGpus | None, Placement]) -> None:
    problem = replace(beside(mix, 12.0, pair, BaseGpus.OWN), headroom=1.0)
    own = [each for each in place(problem).assignments if each.base]
    assert len(own) > sum(bool(each.base) for each in answers[BaseGpus.OWN].assignments)


def test_the_bound_counts_it(mix: Workload, pair: Pair) -> None:
    servers = Servers(beside(mix, 30.0, pair))
    everyone = range(len(mix))
    assert lower_bound(servers, everyone, base=True) > lower_bound(servers, everyone)
    assert lower_bound(servers, [], base=True) >= 1
    assert lower_bound(servers, []) == 0


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), part=st.floats(0.1, 1.0))
def test_a_gpu_that_holds_is_one_at_most(pair: Pair, seed: int, part: float) -> None:
    mix = random_mix(np.random.default_rng(seed), 20)
    whole = replace(mix, rate=mix.rate * (1 - part), base=base(30.0 * part))
    for scale in (0.5, 0.8, 1.1, 1.4, 2.0):
        scaled = replace(whole, rate=whole.rate * scale, base=base(30.0 * part * scale))
        server = pair.profile.settings(max_loras=20, max_cpu_loras=20, max_lora_rank=64)
        measures = simulate(pair.profile, server, scaled, seed=seed % 1000)
        if measures.steady() and measures.completed > 0.99 * measures.arrivals:
            # Chance brings somewhat less in an hour than there is in the long run.
            less = replace(scaled, rate=scaled.rate * 0.95, base=base(30.0 * part * scale * 0.95))
            assert lower_bound(Servers(Problem(of(less), (GpuType(pair),))), range(20), base=True) == 1


def test_launch_files_and_limits_are_of_its_part(mix: Workload, pair: Pair) -> None:
    problem = beside(mix, 12.0, pair, BaseGpus.OWN)
    answer = place(problem)
    files = {file.name: file.text for file in launch_files(answer, problem.inventory, ["litellm", "serve"])}
    for each in answer.assignments:
        assert ("no adapters" in files[f"gpu-{each.gpu}.serve.sh"]) == bool(each.base)
        assert ("Tiny-1B" in files[f"gpu-{each.gpu}.litellm.yaml"].split("rpm:")[0]) or each.adapters


@pytest.mark.parametrize("rates", [(5.0, 25.0), (25.0, 5.0), (12.0, 0.0), (0.0, 12.0), (12.0, 12.0)])
@pytest.mark.parametrize("way", list(BaseGpus))
def test_it_is_routed_to_new_gpus_before_and_off_others_after_the_moves(
    mix: Workload, pair: Pair, tmp_path: Path, rates: tuple[float, float], way: BaseGpus
) -> None:
    before, after = rates
    some = mix.take(np.arange(30))

    def at(rate: float) -> Problem:
        return beside(some, rate, pair, way) if rate else Problem(of(some), (GpuType(pair),), time_s=0.2)

    old = place(at(before))
    path = tmp_path / "previous.json"
    path.write_text(json.dumps(old.document(at(before).inventory)))
    previous = read(path)
    assert {gpu: each.base for gpu, each in previous.items()} == {
        each.gpu: pytest.approx(each.base, abs=1e-6) for each in old.assignments
    }
    new = place(at(after), previous=previous)
    assert new.changes is not None
    steps = [(step.what, step.gpu) for step in new.changes.steps]
    have = {gpu for gpu, each in previous.items() if each.base}
    want = {each.gpu for each in new.assignments if each.base}
    assert {gpu for what, gpu in steps if what == "route"} == want - have
    assert {gpu for what, gpu in steps if what == "unroute"} == have - want
    for gpu in want - previous.keys():
        assert steps.index(("route", gpu)) > steps.index(("start", gpu))
    for gpu in have - {each.gpu for each in new.assignments}:
        assert steps.index(("unroute", gpu)) < steps.index(("stop", gpu))
    if before == after:
        assert not steps
