"""Host memory bounds a placement as it bounds a recommendation: every GPU is as `recommend` has it for its adapters."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from advisor.inventory.inventory import Inventory, parse
from advisor.place.bound.hosts import hosts
from advisor.place.changes.previous import Running
from advisor.place.judge.running import missed_under
from advisor.place.judge.servers import Servers
from advisor.place.judge.traffic import kinds
from advisor.place.place import place
from advisor.place.placement import Group, Placement
from advisor.place.problem import GpuType, Problem
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.recommend.server.host_memory import GIB
from advisor.zoo.pairs import find_pair
from tests.advisor import inventories
from tests.advisor.recommend.server.test_host_memory import document


def problem(rate: float, *, adapters: list[dict[str, Any]] | None = None, **more: Any) -> Problem:
    count, rank = more.pop("count", 128), more.pop("rank", 16)
    how = {each: more.pop(each) for each in ("gpus", "headroom", "failures") if each in more}
    written = document(rate, count=count, rank=rank, **more)
    inventory = parse(inventories.toml(written | ({"adapters": adapters} if adapters else {})))
    return Problem(inventory, (GpuType(find_pair(inventory.model, inventory.gpu)),), time_s=0.2, **how)


def gib(inventory: Inventory, adapters: tuple[int, ...]) -> float:
    """What all of these weigh, of whatever rank, on all modules of Llama-3.1-8B."""
    return float(83.886e6 / 16 * inventory.mix.rank[list(adapters)].sum()) / GIB


def agrees_with_recommend(answer: Placement, asked: Problem) -> None:
    for each in answer.assignments:
        alone = recommend(each.served(asked.inventory), each.gpu_type.pair, Objective())
        assert alone.admission.adapters == len(each.adapters)
        # Room for a quarter more adapters, if the host has it.
        least, most = alone.flags["max_cpu_loras"], math.ceil(1.25 * len(each.adapters))
        assert int(least) <= int(each.flags["max_cpu_loras"]) <= most
        assert int(each.flags["max_loras"]) <= int(each.flags["max_cpu_loras"])
        if alone.flags["max_cpu_loras"] < len(each.adapters):
            assert each.flags["max_cpu_loras"] == least
            (told,) = [warning for warning in alone.warnings if "host memory" in warning]
            assert any(warning.endswith(told) for warning in answer.warnings)


@pytest.mark.parametrize(("rate", "limit"), [(0.05, 4), (0.05, 0.5), (0.0008, 8), (0.002, 6)])
def test_every_gpu_is_as_recommended_for_its_adapters(rate: float, limit: float) -> None:
    asked = problem(rate, host_memory_gib=limit)
    answer = place(asked)
    assert not answer.unplaced and answer.gpus >= answer.lower_bound
    for each in answer.assignments:
        assert each.host_memory is not None and each.host_memory.gib <= limit
        assert gib(asked.inventory, each.adapters[: int(each.flags["max_cpu_loras"])]) <= limit
    agrees_with_recommend(answer, asked)


def test_busy_adapters_take_more_gpus_and_the_answer_says_why() -> None:
    free, bounded = place(problem(0.05)), place(problem(0.05, host_memory_gib=4))
    assert (free.gpus, bounded.gpus, bounded.lower_bound) == (1, 3, 3)
    (told,) = [each for each in bounded.warnings if "host memory decides" in each]
    assert "4 GiB" in told and "take 3 GPUs at least; with enough of it 1 might do" in told
    assert not any("host memory" in each for each in free.warnings)


def test_adapters_that_are_hardly_asked_are_read_from_disk() -> None:
    idle = [{"name": "idle", "count": 2000, "rank": 16, "rate": 0}, {"name": "b", "count": 40, "rank": 8, "rate": 0.05}]
    answer = place(problem(0, adapters=idle, host_memory_gib=4))
    assert answer.gpus == 1 and answer.assignments[0].flags["max_cpu_loras"] == 51
    assert any("51 adapters" in each and "if they are ever asked" in each for each in answer.warnings)


def test_too_few_gpus_leave_adapters_out() -> None:
    answer = place(problem(0.05, host_memory_gib=4, gpus=1))
    agrees_with_recommend(answer, problem(0.05, host_memory_gib=4))
    assert 51 <= len(answer.assignments[0].adapters) < 60
    assert all(reason.startswith("no room") for reason in answer.unplaced.values())


def test_an_adapter_that_no_host_holds_is_named() -> None:
    adapters = [{"name": "large", "rank": 256, "rate": 0.1}, {"name": "small", "rank": 8, "rate": 0.1}]
    asked = problem(0, adapters=adapters, host_memory_gib=1)
    answer = place(asked)
    assert set(answer.unplaced) == {0} and len(answer.assignments) == 1
    assert "host memory of 1 GiB holds 0 adapters, fewer than max_loras 1" in answer.unplaced[0]


def test_fixed_slots_need_as_many_in_host_memory() -> None:
    few = place(problem(0.001, host_memory_gib=1, fixed={"max_loras": 8}))
    many = place(problem(0.001, host_memory_gib=1, fixed={"max_loras": 16}))
    assert few.gpus == 2 and not few.unplaced
    # Host memory holds 12: of no more than those nobody is dropped from a slot.
    assert max(len(each.adapters) for each in many.assignments) == 12 and not many.unplaced
    assert not any("takes up to" in each for each in many.warnings)


def test_what_is_fixed_stays_and_the_answer_says_what_it_takes() -> None:
    answer = place(problem(0.01, host_memory_gib=4, fixed={"max_cpu_loras": 128}))
    assert answer.gpus == 1 and answer.assignments[0].flags["max_cpu_loras"] == 128
    assert any("takes up to 10.0 GiB of host memory: more than the 4 GiB" in each for each in answer.warnings)


def test_much_is_told_where_nobody_said_what_there_is() -> None:
    answer = place(problem(0.0005, count=1000))
    assert any("1,250 takes up to 97.7 GiB" in each and "host_memory_gib" in each for each in answer.warnings)


def test_what_stands_by_is_bounded_as_well() -> None:
    asked = problem(0.05, host_memory_gib=4, failures=1)
    answer, servers = place(asked), Servers(asked)
    (spare,) = [each for each in answer.assignments if each.standby]
    assert not answer.unprotected and len(spare.standby) == 128
    assert spare.host_memory is not None and spare.host_memory.gib <= 4 and spare.flags["max_cpu_loras"] == 51
    for each in answer.assignments:
        assert not missed_under(servers, Group(each.adapters), spare.flags)


def test_what_stands_by_has_to_hold_the_largest_that_may_come() -> None:
    adapters = [{"name": f"r{rank}", "count": 30, "rank": rank, "rate": 0.02} for rank in (8, 64)]
    answer = place(problem(0, adapters=adapters, host_memory_gib=8, failures=1))
    assert answer.unprotected == (0, 1)
    # 25 of rank 64 weigh 7.8 GiB.
    assert any("holds 25 of the 60 adapters that may come" in warning for warning in answer.warnings)
    roomier = place(problem(0, adapters=adapters, host_memory_gib=10, failures=1))
    assert not roomier.unprotected


def test_what_stands_by_keeps_the_fixed_number_of_adapters() -> None:
    answer = place(problem(0.02, failures=1, fixed={"max_cpu_loras": 64}))
    assert {each.flags["max_cpu_loras"] for each in answer.assignments} == {64}


def test_a_server_that_runs_with_more_than_there_is_gets_other_flags() -> None:
    asked = problem(0.05, host_memory_gib=4)
    names, flags = asked.inventory.names, place(problem(0.05)).assignments[0].flags
    answer = place(asked, previous={0: Running(names, flags, None)})
    assert answer.changes is not None and answer.changes.overloaded == (0,) and answer.changes.restarted == (0,)
    assert int(flags["max_cpu_loras"]) > 51
    agrees_with_recommend(answer, asked)


def test_a_server_that_runs_goes_on_where_hardly_anyone_waits_for_the_disk() -> None:
    asked = problem(0.0008, host_memory_gib=8)
    before = place(asked)
    assert before.gpus == 1 and before.assignments[0].flags["max_cpu_loras"] == 102
    running = {0: Running(asked.inventory.names, before.assignments[0].flags, None)}
    answer = place(asked, previous=running)
    assert answer.changes is not None and not answer.changes.steps and not answer.changes.overloaded
    busier = replace(asked.inventory, workload=replace(asked.inventory.workload, rate=np.full(128, 0.05)))
    changes = place(replace(asked, inventory=busier), previous=running).changes
    assert changes is not None and changes.overloaded == (0,)


def test_exact_placements_are_bounded_as_well() -> None:
    asked = problem(0.05, count=40, host_memory_gib=1.25)
    answer = place(asked, exact=True)
    assert answer.gpus == 3 and answer.holds
    for each in answer.assignments:
        assert int(each.flags["max_loras"]) <= int(each.flags["max_cpu_loras"]) <= 16


def test_adapters_on_fewer_modules_are_of_another_kind_where_memory_counts() -> None:
    adapters = [{"name": name, "rank": 16, "rate": 0.1} for name in ("a", "b")]
    adapters[0]["target_modules"] = ["q_proj"]
    assert len(set(kinds(problem(0, adapters=adapters).inventory).tolist())) == 1
    assert len(set(kinds(problem(0, adapters=adapters, host_memory_gib=4).inventory).tolist())) == 2


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2])
def test_no_placement_is_below_what_hosts_take(rate: float) -> None:
    rates = np.geomspace(rate / 10, rate * 10, 60)
    adapters = [{"name": f"a{i}", "rank": (8, 16, 32)[i % 3], "rate": float(each)} for i, each in enumerate(rates)]
    asked = problem(0, adapters=adapters, host_memory_gib=1)
    servers, answer = Servers(asked), place(asked)
    assert not answer.unplaced
    assert answer.gpus >= hosts(servers, np.arange(60))
    for size in range(1, 61):
        for some in (np.arange(size), np.arange(60 - size, 60)):
            if not servers.judge(Group(tuple(some.tolist()))).missed:
                assert hosts(servers, some) == 1
