"""The search finds what trying everything would, with a fraction of the runs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.campaign.grid import Grid, Recipe, sample
from model_zoo.campaign.runs import (
    MOST_ARRIVALS,
    OBJECTIVES,
    PUBLISHED,
    STEADY,
    SimulatedRun,
    Simulator,
    most_slots,
    searched,
    starts,
)
from model_zoo.campaign.search import REACH, SCATTERED, SHARES, Exploration, explore_grid, ladder, with_margin
from model_zoo.training.labels import fully_tried, load_limit, slot_choices
from tests.model_zoo.law import law_of_serving
from twin.engine.simulation import Measures
from twin.profile import Profile
from twin.settings import Settings
from twin.workload import Workload

MOST = 200
GRID = Grid(mixes=1, duration_s=3600.0, slots=(0.4, 0.7, 1.0, 1.8, 4.0), max_adapters=MOST)


def simulator_of(profile: Profile, recipe: Recipe) -> Simulator:
    return Simulator(profile, recipe, duration_s=3600, seed=0, simulate=law_of_serving)


def explored(profile: Profile, recipe: Recipe) -> Exploration:
    return explore_grid(simulator_of(profile, recipe), GRID)


def on_grid(found: Exploration) -> list[SimulatedRun]:
    """The runs at steps of the ladder with numbers of slots that were to be tried; the others lie anywhere."""
    steps = set(ladder(MOST))
    return [
        run
        for run in found.runs
        if run.adapters in steps and run.max_loras in {min(count, run.adapters) for count in found.slots}
    ]


@pytest.mark.parametrize("number", range(12))
def test_limits_are_those_of_an_exhaustive_search(profile: Profile, number: int) -> None:
    recipe = sample(12, seed=5)[number]
    found, simulator = explored(profile, recipe), simulator_of(profile, recipe)
    everything = [simulator.run(adapters, slots) for adapters in ladder(MOST) for slots in found.slots]
    for objective in searched(recipe):
        assert load_limit(on_grid(found), objective).adapters == load_limit(everything, objective).adapters
    assert len(found.runs) < len(simulator.runs) / 3


def test_mixes_take_turns_with_the_limits_and_all_know_the_default_ones() -> None:
    wanted = [searched(recipe) for recipe in sample(30, seed=5)]
    assert all(STEADY in of_mix and PUBLISHED in of_mix and len(of_mix) == 4 for of_mix in wanted)
    for objective in OBJECTIVES:
        assert sum(objective in of_mix for of_mix in wanted) >= 10
    held_out, pairs = wanted[4::5], set(map(tuple, wanted))
    assert len(pairs) == 6, "every tighter limit beside every laxer one"
    assert set(map(tuple, held_out)) == pairs


@settings(max_examples=20, deadline=None)
@given(number=st.integers(0, 63))
def test_every_share_of_the_limit_gets_slots_that_meet_the_objective(profile: Profile, number: int) -> None:
    recipe = sample(64, seed=1)[number]
    found = explored(profile, recipe)
    limit = load_limit(found.runs, STEADY).adapters
    assert len(fully_tried(found)) >= min(len(SHARES), limit)
    for choice in slot_choices(found, STEADY, MOST):
        assert choice.adapters <= limit
        assert STEADY.met_by(choice.best)
        assert choice.best.max_loras <= choice.adapters
    if limit:
        assert limit in [choice.adapters for choice in slot_choices(found, STEADY, MOST)]
        assert load_limit(found.runs, PUBLISHED).adapters >= limit


def test_the_ladder_climbs_to_the_top_by_at_most_two_percent_or_one() -> None:
    steps = ladder(1024)
    assert (steps[0], steps[-1]) == (1, 1024)
    assert all(1 <= b - a <= max(1, 0.03 * a) for a, b in itertools.pairwise(steps))
    assert with_margin(100, 400, steps) == pytest.approx(111, abs=2)
    assert with_margin(100, 102, steps) == 102


def test_slots_are_tried_around_those_of_the_estimate_as_far_as_memory_allows(profile: Profile) -> None:
    cut = 0
    for recipe in sample(24, seed=2):
        simulator, most = simulator_of(profile, recipe), most_slots(profile, max(recipe.ranks.values))
        wanted = {max(round(times * simulator.estimated_slots), 1) for times in GRID.slots}
        cut += max(wanted) > most
        assert explore_grid(simulator, GRID).slots == tuple(sorted({min(count, most) for count in wanted}))
    assert 0 < cut < 24


@pytest.mark.parametrize("number", range(6))
def test_some_runs_lie_anywhere_and_always_at_the_same_places(profile: Profile, number: int) -> None:
    recipe = sample(12, seed=3)[number]
    found = explored(profile, recipe)
    most, on = load_limit(on_grid(found), PUBLISHED).adapters, on_grid(found)
    anywhere = [run for run in found.runs if run not in on]
    tried = {run: {min(count, run.adapters) for count in found.slots} for run in anywhere}
    assert SCATTERED / 4 <= len([run for run in anywhere if run.max_loras not in tried[run]]) <= SCATTERED
    for run in anywhere:
        assert run.max_loras <= run.adapters <= MOST
        assert run.max_loras <= found.slots[-1]
    assert min(run.adapters for run in found.runs) < 0.3 * most, "also far below the limit"
    assert max(run.adapters for run in anywhere) <= max(REACH[1], 4.0) * most
    assert explored(profile, recipe) == found


def test_nothing_is_run_where_no_server_starts(profile: Profile) -> None:
    memory = profile.memory.model_copy(update={"max_model_len": 1_000_000})
    recipe = sample(1, seed=0)[0]
    assert explored(profile.model_copy(update={"memory": memory}), recipe) == Exploration(recipe, (), ())


def test_a_run_of_very_many_requests_is_cut_short(profile: Profile) -> None:
    asked: list[tuple[float, float]] = []

    def noting(profile: Profile, server: Settings, workload: Workload, *, duration_s: float, seed: int) -> Measures:
        asked.append((float(workload.traffic.rate.sum()), duration_s))
        return law_of_serving(profile, server, workload, duration_s=duration_s, seed=seed)

    for recipe in sample(64, seed=4):
        simulator = Simulator(profile, recipe, duration_s=3600, seed=0, simulate=noting)
        for adapters in (1, 64, 2048):
            simulator.run(adapters, 8)
    assert len([0 for _, duration_s in asked if duration_s < 3600]) > 5
    for rate, duration_s in asked:
        if rate * 3600 <= MOST_ARRIVALS:
            assert duration_s == 3600
        else:
            assert rate * duration_s == pytest.approx(MOST_ARRIVALS)


def test_a_configuration_is_run_once_and_never_with_more_slots_than_adapters(profile: Profile) -> None:
    calls: list[int] = []

    def counting(*args: object, **settings: object) -> object:
        calls.append(1)
        return law_of_serving(*args, **settings)  # type: ignore[arg-type]

    simulator = Simulator(profile, sample(1, 0)[0], duration_s=60, seed=0, simulate=counting)  # type: ignore[arg-type]
    assert simulator.run(8, 64) is simulator.run(8, 8)
    assert len(calls) == 1
    assert SimulatedRun.from_json(simulator.runs[0].to_json()) == simulator.runs[0]


def test_the_most_slots_are_the_last_that_start(profile: Profile) -> None:
    for rank in (8, 16, 64):
        most = most_slots(profile, rank)
        assert starts(profile, most, rank)
        assert not starts(profile, most + 1, rank)
    full = profile.memory.model_copy(update={"max_model_len": 1_000_000})
    assert most_slots(profile.model_copy(update={"memory": full}), 8) == 0
