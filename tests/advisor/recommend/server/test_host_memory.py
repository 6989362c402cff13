"""Host memory: what adapters weigh there, and what is done where they do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.inventory.inventory import parse
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.recommend.server.host_memory import GIB, room, weights
from advisor.report.text import write
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import find_pair
from tests.advisor import inventories
from twin.profile import Loading
from twin.workload import Workload

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
LOADING = Loading(memory_base_ms=6, memory_per_rank_ms=0, disk_base_ms=60, disk_per_rank_ms=2)


def document(rate: float, *, count: int = 128, rank: int = 16, **more: Any) -> dict[str, Any]:
    lengths = {"input": {"mean": 223, "std": 191}, "output": {"mean": 196, "std": 181}}
    adapters = [{"name": "t", "count": count, "rank": rank, "rate": rate}]
    return {"model": LLAMA, "gpu": "h100-64gb", "lengths": lengths, "adapters": adapters, **more}


def answer(document: dict[str, Any]) -> Recommendation:
    inventory = parse(inventories.toml(document))
    pair = find_pair(inventory.model, inventory.one_gpu(), None, inventory.engine)
    return recommend(inventory, pair, Objective())


def test_an_adapter_of_rank_16_weighs_what_vllm_says() -> None:
    inventory = parse(inventories.toml(document(0.01, count=2)))
    found = weights(inventory, find_pair(inventory.model, inventory.gpu))
    assert found is not None and found / 1e6 == pytest.approx(83.9, abs=0.05)


def test_adapters_on_few_modules_weigh_less() -> None:
    few = document(0.01, count=2)
    few["adapters"][0]["target_modules"] = ["q_proj", "v_proj"]
    inventory = parse(inventories.toml(few))
    found = weights(inventory, find_pair(inventory.model, inventory.gpu))
    assert found is not None and found / 1e6 == pytest.approx(13.6, abs=0.1)  # 2 x 16 x 32 x (8,192 + 5,120)


def test_modules_that_are_one_are_counted_and_those_that_are_none_are_told() -> None:
    """As PEFT writes it for Phi: one adapter of rank 64 weighs 446 MB, 87,040 x 64 x 2 bytes in 40 layers."""
    some = document(0.002, count=400, rank=64, host_memory_gib=20) | {"model": "microsoft/phi-4", "gpu": "h100-80gb"}
    some["adapters"][0]["target_modules"] = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
    told = answer(some)
    assert any("20 GiB holds 48 adapters" in each for each in told.warnings)
    assert not any("target_modules" in each for each in told.warnings)
    some["adapters"][0]["target_modules"] = ["qkv_prj", "o_proj"]
    assert any("has no qkv_prj (did you mean qkv_proj?)" in each for each in answer(some).warnings)


def test_the_answer_says_what_max_cpu_loras_takes() -> None:
    told = answer(document(0.01))
    assert told.host_memory is not None and told.host_memory.gib == pytest.approx(10.0, abs=0.01)
    assert told.document()["host_memory"] == {"adapters": 128, "gib": 10.0}
    assert not any("host" in each for each in told.warnings)
    large = answer(document(0.0005, count=1000))
    assert any("78.1 GiB of host memory" in each and "host_memory_gib" in each for each in large.warnings)


def test_what_fits_changes_nothing() -> None:
    bounded, free = answer(document(0.01, host_memory_gib=10.1)), answer(document(0.01))
    assert bounded.flags == free.flags and bounded.admission == free.admission


def test_many_loads_from_disk_admit_fewer_and_are_told() -> None:
    told = answer(document(0.05, host_memory_gib=4))
    assert told.flags["max_cpu_loras"] == told.admission.adapters == 51
    (said,) = [each for each in told.warnings if "host memory" in each]
    assert "51 adapters" in said and "no more are admitted" in said and "ms each" in said


def test_few_loads_from_disk_admit_all_and_are_told() -> None:
    told = answer(document(0.0008, host_memory_gib=8))
    assert told.admission.adapters == 128 and told.flags["max_cpu_loras"] == 102
    (said,) = [each for each in told.warnings if "host memory" in each]
    assert "requests/s find their adapter on disk" in said


def test_idle_adapters_may_stay_on_disk() -> None:
    some = document(0.05, count=20, host_memory_gib=4)
    some["adapters"].append({"name": "idle", "count": 5000, "rank": 16, "rate": 0})
    told = answer(some)
    assert told.admission.adapters == 5020 and told.flags["max_cpu_loras"] == 51
    assert any("if they are ever asked" in each for each in told.warnings)


def test_of_adapters_that_come_and_go_each_may_be_the_largest() -> None:
    some = document(0.05, count=20, host_memory_gib=4, dynamic=True)
    some["adapters"].append({"name": "small", "count": 500, "rank": 8, "rate": 0})
    told = answer(some)
    assert told.flags["max_cpu_loras"] == 51 and told.host_memory is not None and told.host_memory.fits


def test_what_nothing_fits_into_is_not_feasible() -> None:
    assert "holds 0 adapters" in (answer(document(0.01, host_memory_gib=0.01)).reason or "")
    fixed = answer(document(0.01, host_memory_gib=1, fixed={"max_loras": 32}))
    assert "fewer than max_loras 32" in (fixed.reason or "")


def test_a_fixed_cache_that_is_too_large_is_told() -> None:
    told = answer(document(0.01, host_memory_gib=4, fixed={"max_cpu_loras": 128}))
    assert told.flags["max_cpu_loras"] == 128
    assert any("more than the 4 GiB that there are" in each for each in told.warnings)


def test_an_unknown_shape_is_told(pair: Pair) -> None:
    tiny = document(0.01, count=2, host_memory_gib=4) | {"model": "tiny-1b", "gpu": "test-gpu"}
    told = recommend(parse(inventories.toml(tiny)), pair, Objective())
    assert told.host_memory is None and any("host_memory_gib is not heeded" in each for each in told.warnings)


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=60), st.floats(0.1, 70))
def test_the_largest_fit_and_the_rest_is_read_when_asked(rates: list[float], limit_gib: float) -> None:
    rate = np.array(rates)
    mix = Workload.alike(rate, rank=16.0, input_mean=1, input_std=0, output_mean=1, output_std=0)
    found = room(limit_gib, np.full(len(rate), GIB), mix, LOADING)
    if limit_gib >= len(rate):
        assert found is None
        return
    assert found is not None and found.slots == int(limit_gib)
    assert 0 <= found.loads <= rate.sum() * (1 + 1e-9)
    assert found.load_ms == pytest.approx(92)
    assert found.admits in (found.slots, len(rate))


def test_loads_from_disk_are_those_of_a_least_recently_used_cache() -> None:
    rng = np.random.default_rng(0)
    rate = rng.lognormal(0, 1.5, 200)
    mix = Workload.alike(rate, rank=16.0, input_mean=1, input_std=0, output_mean=1, output_std=0)
    told = room(50, np.full(len(rate), GIB), mix, LOADING)
    asked = rng.choice(len(rate), size=60_000, p=rate / rate.sum())
    cache = dict[int, None]()
    missed = 0
    for name in asked.tolist():
        missed += name not in cache
        cache.pop(name, None)
        cache[name] = None
        if len(cache) > 50:
            del cache[next(iter(cache))]
    assert told is not None and told.loads / rate.sum() == pytest.approx(missed / len(asked), rel=0.03)


def test_several_gpus_keep_a_copy_each() -> None:
    one, two = answer(document(0.001, count=40)), answer(document(0.001, count=40, gpu="h100-80gb", tensor_parallel=2))
    assert one.host_memory is not None and two.host_memory is not None
    assert two.host_memory.gib == pytest.approx(2 * one.host_memory.gib)
    assert two.document()["host_memory"]["workers"] == 2 and "workers" not in one.document()["host_memory"]
    assert "a copy in each of 2 worker processes" in " ".join(write(two).split())
    assert "worker processes" not in write(one)
    crowded = answer(document(0.001, count=40, gpu="h100-80gb", tensor_parallel=2, host_memory_gib=1))
    assert any("1 GiB holds" in each and "copy in each of 2" in each for each in crowded.warnings)
