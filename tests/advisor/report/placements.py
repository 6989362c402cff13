"""Placements of many kinds as JSON has them: made for problems of the small zoo."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from advisor.place.changes.previous import read
from advisor.place.place import place
from advisor.place.placement import Group
from advisor.place.problem import BaseGpus, GpuType, Problem
from advisor.place.verification.verification import measure
from advisor.recommend.server.host_memory import HostMemory
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from tests.advisor.place.test_reasons import renamed
from tests.advisor.small_zoo import random_mix
from twin.settings import Settings
from twin.workload import Workload

Document = dict[str, Any]
TIME_S = 0.05
"""For improving a placement."""


def traffic(seed: int, size: int, times: float = 2.0) -> Workload:
    mix = random_mix(np.random.default_rng(seed), size)
    return replace(mix, rate=times * mix.rate)


def base(rate: float) -> Workload:
    return Workload.alike(np.array([rate]), rank=1.0, input_mean=100, input_std=80, output_mean=110, output_std=90)


def told(problem: Problem, **how: Any) -> Document:
    return place(problem, **how).document(problem.inventory)


def changed(before: Problem, after: Problem, folder: Path) -> Document:
    """From one placement to another."""
    path = folder / "before.json"
    path.write_text(json.dumps(told(before)))
    return told(after, previous=read(path))


def small(pair: Pair, mix: Workload, **what: Any) -> Problem:
    return Problem(of(mix), (GpuType(pair),), **{"time_s": TIME_S, **what})


def verified(pair: Pair, _: Path) -> Document:
    mix = traffic(3, 40)
    return told(small(pair, replace(mix, base=base(1.0)), failures=1), verify=True)


def verified_without_memory(pair: Pair, _: Path) -> Document:
    problem = small(pair, traffic(3, 20))
    answer = place(problem)
    hour = measure(problem, Group(tuple(range(20))), Settings(20, 20, 512, 256, 2048, 0.9, 39_999), 0)
    assert hour["oom"] and hour["ttft_ms"] is None
    first = replace(answer.assignments[0], verified={**hour, "hours": 1, "held": 0})
    return replace(answer, assignments=(first, *answer.assignments[1:])).document(problem.inventory)


def of_own_gpus(pair: Pair, _: Path) -> Document:
    return told(small(pair, replace(traffic(4, 60), base=base(12.0)), base=BaseGpus.OWN, failures=1))


def shrunk(pair: Pair, folder: Path) -> Document:
    mix = traffic(5, 40, 3.0)
    left = mix.take(np.arange(10, 40))
    before = small(pair, replace(mix, base=base(1.0)), base=BaseGpus.OWN)
    later = replace(small(pair, left, pins={0: 1}), inventory=replace(of(left), names=before.inventory.names[10:]))
    return changed(before, later, folder)


def grown(pair: Pair, folder: Path) -> Document:
    mix = replace(traffic(6, 50), base=base(3.0))
    return changed(small(pair, traffic(6, 20, 0.5)), small(pair, mix, base=BaseGpus.SPREAD), folder)


def of_several_types(pair: Pair, _: Path) -> Document:
    types = (GpuType(renamed(pair, "dear"), 3.0), GpuType(renamed(pair, "cheap"), 1.0))
    return told(Problem(of(traffic(4, 50)), types, time_s=TIME_S))


def interrupted(pair: Pair, _: Path) -> Document:
    def interrupt(_: int, total: int | None) -> None:
        if total is not None:
            raise KeyboardInterrupt

    return told(small(pair, traffic(3, 40)), verify=True, progress=interrupt)


def unplaced(pair: Pair, _: Path) -> Document:
    mix = replace(traffic(4, 50), base=base(12.0))
    return told(small(pair, mix, gpus=1, base=BaseGpus.OWN))


def missing(pair: Pair, _: Path) -> Document:
    """A baseline looks at the throughput without LoRA alone."""
    return told(small(pair, traffic(4, 60, 4.0)), algorithm="max-backbone")


def replicas(pair: Pair, _: Path) -> Document:
    mix = traffic(4, 20)
    rate = np.where(np.arange(20) == 0, 60.0, mix.rate)
    return told(small(pair, replace(mix, rate=rate), replicas=True, copies={1: 2}))


def counted(pair: Pair, _: Path) -> Document:
    problem = small(pair, replace(traffic(4, 5), output_mean=np.ones(5), output_std=np.zeros(5)))
    return told(replace(problem, inventory=replace(problem.inventory, counted_requests=40)))


def of_several_gpus(pair: Pair, _: Path) -> Document:
    flags = {"tensor_parallel_size": 2, "quantization": "fp8", "kv_cache_dtype": "fp8"}
    problem = Problem(of(traffic(4, 20), max_model_len=1024), (GpuType(replace(pair, flags=flags)),), time_s=TIME_S)
    answer, taken = place(problem), HostMemory(adapters=25, gib=0.8, workers=2, limit_gib=64.0)
    served = tuple(replace(each, host_memory=taken) for each in answer.assignments)
    return replace(answer, assignments=served).document(problem.inventory)


def of_several_inventories(pair: Pair, _: Path) -> Document:
    each = [{"inventory": f"{i}.toml", **told(small(pair, traffic(i, 20)))} for i in range(2)]
    return {"gpus": sum(one["gpus"] for one in each), "price": sum(one["price"] for one in each), "placements": each}


KINDS: tuple[Callable[[Pair, Path], Document], ...] = (
    *(verified, verified_without_memory, of_own_gpus, shrunk, grown, of_several_types, interrupted, unplaced, missing),
    *(replicas, counted, of_several_gpus, of_several_inventories),
)
