"""No GPU that holds in the twin takes more than one GPU by the bound, and no placement that holds needs fewer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.place.bound import Relaxation, demand_of, lower_bound
from advisor.place.bound.lower import bins
from advisor.place.judge.servers import Servers
from advisor.place.placement import Group
from advisor.place.problem import GpuType, Problem
from advisor.recommend.objective import Objective, ObjectiveName
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import load_zoo
from tests.advisor.inventories import of
from tests.advisor.small_zoo import random_mix
from twin.engine.simulation import simulate
from twin.service_level import Limit
from twin.settings import slot_rank
from twin.workload import Workload


def shares(mix: Workload, pair: Pair, rounds: int = 6) -> np.ndarray:
    relaxation = Relaxation(pair.profile, {})
    demand = demand_of(mix, pair.profile)
    return relaxation.least(demand, relaxation.refined(demand, rounds))


def various(generator: np.random.Generator, count: int) -> Workload:
    """Adapters that differ in all there is: some mixes of prompts that fit into a step, some of much longer ones."""
    length = generator.uniform(20, 600, (2, count))
    length[0] *= generator.choice([1.0, 8.0])
    return Workload(
        generator.choice([8, 16, 32, 64], count).astype(float),
        10 ** generator.uniform(-2.5, 0, count),
        length[0],
        length[0] * generator.uniform(0.2, 1.2),
        length[1],
        length[1] * generator.uniform(0.2, 1.2),
        generator.choice([0.5, 1.0, 3.0], count),
        correlation=float(generator.uniform(-0.5, 0.5)),
    )


def partitions(of: list[int]) -> Iterator[list[tuple[int, ...]]]:
    """All ways to divide these into groups."""
    if not of:
        yield []
        return
    for rest in partitions(of[1:]):
        yield [(of[0],), *rest]
        for place, group in enumerate(rest):
            yield [*rest[:place], (of[0], *group), *rest[place + 1 :]]


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), number=st.integers(0, 1))
def test_a_gpu_that_holds_is_one_at_most(seed: int, number: int) -> None:
    pair, generator = load_zoo().pairs[number], np.random.default_rng(seed)
    mix = various(generator, int(generator.integers(5, 150)))
    least = float(shares(mix, pair).sum())
    rank = slot_rank(float(mix.rank.max()))
    # More and more traffic on slots for all, until an hour is not steady: those before are no more than a GPU's worth.
    for load in (0.8, 0.95, 1.05, 1.2):
        scaled = replace(mix, rate=mix.rate * load / least)
        for slots in {max(len(mix) // 3, 1), min(len(mix), 60)}:
            server = pair.profile.settings(max_loras=slots, max_cpu_loras=len(mix), max_lora_rank=rank)
            measures = simulate(pair.profile, server, scaled, seed=seed % 1000)
            # By the mean that came: chance alone may bring less in an hour than there is in the long run.
            came = measures.arrivals / max(float(scaled.rate.sum()) * 3600, 1e-9)
            if measures.steady() and measures.completed > 0.99 * measures.arrivals:
                assert float(shares(replace(scaled, rate=scaled.rate * min(came, 1.0)), pair).sum()) <= 1.02


def test_a_long_prompt_takes_the_time_of_full_steps() -> None:
    # Two prompts of 4,000 tokens in a second, cut into steps of 2,048: what is beyond the graphs of 512 tokens is
    # computed at once, though of the mean step no token is beyond them.
    pair, count = load_zoo().pairs[0], 20
    length, single = np.full(count, 4000.0), np.full(count, 20.0)
    mix = Workload(np.full(count, 8.0), np.full(count, 0.1), length, 0 * length, single, 0 * single, np.ones(count))
    step, serving = pair.profile.step, pair.profile.serving
    in_lumps = (4000 - step.graph_tokens) * (1 - step.graph_tokens / serving.max_num_batched_tokens)
    least_s = 2.0 * (in_lumps * step.per_eager_token_ms + 4000 * step.lora_per_token_ms) / 1e3
    assert float(shares(mix, pair, rounds=30).sum()) > least_s


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.9, 1.0]), min_size=1, max_size=6))
def test_bins_are_no_more_than_it_takes(sizes: list[float]) -> None:
    found = bins(np.array(sizes))
    assert sum(sizes) - 1e-9 <= found
    ways = partitions(list(range(len(sizes))))
    assert found <= min(len(way) for way in ways if all(sum(sizes[i] for i in each) <= 1 + 1e-9 for each in way))


@pytest.mark.parametrize(("sizes", "expected"), [([0.6, 0.6, 0.6], 3), ([0.7, 0.7, 0.4, 0.4], 3), ([2.5], 3), ([], 0)])
def test_large_items_share_no_bin(sizes: list[float], expected: int) -> None:
    assert bins(np.array(sizes, dtype=np.float64)) == expected


def test_what_is_demanded_counts(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(0), 6)
    problem = Problem(of(replace(mix, rate=mix.rate / 100)), (GpuType(pair),))
    everyone = range(6)
    assert lower_bound(Servers(problem), []) == 0
    assert lower_bound(Servers(problem), everyone) == 1
    assert lower_bound(Servers(replace(problem, apart=(frozenset({0, 1, 2}),))), everyone) == 3
    assert lower_bound(Servers(replace(problem, pins={0: 4, 1: 7})), everyone) == 2
    assert lower_bound(Servers(replace(problem, copies={3: 4})), everyone) == 4
    assert lower_bound(Servers(replace(problem, failures=1)), everyone) == 2


def test_more_is_asked_for_headroom_and_a_limit_and_less_by_the_published_rule(pair: Pair) -> None:
    mix = random_mix(np.random.default_rng(1), 200)
    problem = Problem(of(replace(mix, rate=mix.rate * 40)), (GpuType(pair),))
    everyone = range(len(mix))
    plain = lower_bound(Servers(problem), everyone)
    assert lower_bound(Servers(replace(problem, headroom=0.5)), everyone) > plain
    fast = Objective(ObjectiveName.LATENCY, itl_limit=Limit(0.015))
    assert lower_bound(Servers(replace(problem, objective=fast)), everyone) > plain
    assert lower_bound(Servers(replace(problem, objective=Objective(ObjectiveName.PUBLISHED))), everyone) < plain


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), times=st.floats(2, 30), headroom=st.sampled_from([0.0, 0.3]))
def test_of_all_ways_to_divide_a_few_adapters_none_that_holds_needs_fewer(
    pair: Pair, seed: int, times: float, headroom: float
) -> None:
    generator = np.random.default_rng(seed)
    mix = random_mix(generator, int(generator.integers(3, 6)))
    mix = replace(mix, rate=mix.rate * times, input_mean=mix.input_mean * generator.uniform(0.3, 3, len(mix)))
    servers = Servers(Problem(of(mix), (GpuType(pair),), headroom=headroom))
    served = [each for each in range(len(mix)) if not servers.judge(Group((each,))).missed]
    ways = partitions(served)
    hold = [len(way) for way in ways if not any(servers.judge(Group(group)).missed for group in way)]
    assert lower_bound(servers, served) <= min(hold)
