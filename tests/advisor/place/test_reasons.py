"""The answer says what keeps its fullest GPUs from serving more, and why types of GPU are not used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from advisor.place.place import place
from advisor.place.problem import BaseGpus, GpuType, Problem
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix
from twin.workload import Workload


def renamed(pair: Pair, gpu: str) -> Pair:
    own = pair.profile.pair.model_copy(update={"name": f"tiny-1b--{gpu}", "gpu": gpu})
    return replace(pair, profile=pair.profile.model_copy(update={"pair": own}))


def test_what_the_fullest_gpus_miss_with_more_is_told(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(4), 150)
    problem = Problem(of(replace(mix, rate=2 * mix.rate)), (GpuType(pair),))
    answer = place(problem)
    assert answer.gpus > answer.lower_bound
    assert 0 < len(answer.with_more) <= 3
    assert any(answer.with_more.values())
    document = answer.document(problem.inventory)
    assert [each["gpu"] for each in document["with_a_tenth_more"]] == list(answer.with_more)
    assert not place(replace(problem, gpus=answer.gpus)).with_more


def test_a_dearer_type_is_not_used_and_the_answer_says_so(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(4), 40)
    types = (GpuType(renamed(pair, "dear"), 3.0), GpuType(renamed(pair, "cheap"), 1.0))
    answer = place(Problem(of(mix), types))
    assert list(answer.unused) == ["dear"]
    assert answer.unused["dear"].startswith("dearer: one serves ")
    assert "cheap serves " in answer.unused["dear"]


def test_a_type_that_only_serves_requests_that_name_no_adapter_is_used(pair: Pair) -> None:
    base = Workload.alike(np.array([0.5]), rank=1.0, input_mean=100, input_std=80, output_mean=110, output_std=90)
    mix = replace(random_mix(np.random.default_rng(4), 40), base=base)
    types = (GpuType(renamed(pair, "dear"), 3.0), GpuType(renamed(pair, "cheap"), 1.0, at_most=1))
    answer = place(Problem(of(mix), types, base=BaseGpus.OWN))
    assert {each.gpu_type.pair.gpu for each in answer.assignments} == {"dear", "cheap"}
    assert not answer.unused


def test_a_type_that_serves_nobody_is_not_used_and_the_answer_says_so(pair: Pair) -> None:
    small = renamed(pair, "small")
    memory = small.profile.memory.model_copy(update={"kv_tokens_base": 10.0})
    small = replace(small, profile=small.profile.model_copy(update={"memory": memory}))
    mix = random_mix(np.random.default_rng(4), 40)
    answer = place(Problem(of(mix, max_model_len=1024), (GpuType(pair, 3.0), GpuType(small, 1.0))))
    assert list(answer.unused) == ["small"]
    assert answer.unused["small"].startswith("serves no adapter, not even the least demanding alone: ")


def test_adapters_that_memory_leaves_no_slot_for_are_told_and_the_others_placed(pair: Pair) -> None:
    memory = pair.profile.memory.model_copy(update={"kv_tokens_base": 20_000.0, "kv_tokens_per_slot_rank": 40.0})
    tight = replace(pair, profile=pair.profile.model_copy(update={"memory": memory}))
    mix = random_mix(np.random.default_rng(4), 40)
    mix = replace(mix, rank=np.where(np.arange(40) == 7, 512.0, np.minimum(mix.rank, 16.0)))
    problem = Problem(of(mix, max_model_len=1024), (GpuType(tight),))
    answer = place(problem)
    assert list(answer.unplaced) == [7]
    assert answer.unplaced[7].startswith("no GPU serves it, even alone: ")
    both = place(replace(problem, gpu_types=(GpuType(renamed(tight, "tight")), GpuType(pair, 1.5))))
    assert not both.unplaced


def test_what_is_peculiar_to_a_type_that_is_not_used_is_no_warning(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(4), 40)
    dear, cheap = (replace(renamed(pair, name), notes=(f"a note on {name}",)) for name in ("dear", "cheap"))
    answer = place(Problem(of(mix), (GpuType(dear, 3.0), GpuType(cheap, 1.0))))
    assert "a note on cheap" in answer.warnings and "a note on dear" not in answer.warnings


def test_answers_of_one_token_have_no_time_between_tokens(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(4), 20)
    ones = np.ones(len(mix))
    answer = place(Problem(of(replace(mix, output_mean=ones, output_std=0 * ones)), (GpuType(pair),)))
    assert answer.assignments and all(each.expected.one_token for each in answer.assignments)
