"""The search finds what trying everything would, with a fraction of the runs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.campaign.grid import Recipe, sample
from model_zoo.campaign.runs import OBJECTIVES, PUBLISHED, STEADY, SimulatedRun, Simulator, most_slots, starts
from model_zoo.campaign.search import SHARES, Exploration, explore, ladder, with_margin
from model_zoo.training.labels import fully_tried, load_limit, slot_choices
from tests.model_zoo.law import law_of_serving
from twin.profile import Profile

SLOTS = (1, 4, 16, 48, 128)
MOST = 200


def simulator_of(profile: Profile, recipe: Recipe) -> Simulator:
    return Simulator(profile, recipe, duration_s=3600, seed=0, simulate=law_of_serving)


def explored(profile: Profile, recipe: Recipe) -> Exploration:
    simulator = simulator_of(profile, recipe)
    slots = explore(simulator, SLOTS, MOST)
    return Exploration(recipe, slots, tuple(simulator.runs))


@pytest.mark.parametrize("number", range(12))
def test_limits_are_those_of_an_exhaustive_search(profile: Profile, number: int) -> None:
    recipe = sample(12, seed=5)[number]
    found, simulator = explored(profile, recipe), simulator_of(profile, recipe)
    everything = [simulator.run(adapters, slots) for adapters in ladder(MOST) for slots in found.slots]
    for objective in OBJECTIVES:
        assert load_limit(found.runs, objective).adapters == load_limit(everything, objective).adapters
    assert len(found.runs) < len(simulator.runs) / 3


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
