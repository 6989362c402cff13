"""How sure one has to be: as little as keeps the misses on mixes left out few."""

from __future__ import annotations

import numpy as np

from model_zoo.campaign.grid import sample
from model_zoo.campaign.runs import STEADY, SimulatedRun, objectives_named, searched
from model_zoo.training.admission import (
    DRAWN,
    FEATURES,
    REQUIRED,
    Outcome,
    best_guess,
    learned,
    outcomes,
    required_chance,
    rows_of_mixes,
)
from model_zoo.training.dataset import Table
from tests.model_zoo.training.test_labels import run


def table(met: list[list[bool]], kv_cache: tuple[float, float] = (1000.0, 10.0)) -> Table[Outcome]:
    """A mix for each list, which says of 10, 20, … adapters whether they met the objective.

    The KV cache holds so many requests, and so many standard deviations of it are free.
    """
    recipes = sample(len(met), seed=0)
    rows = [
        (recipe, 10 * (i + 1), fact)
        for recipe, labels in zip(recipes, met, strict=True)
        for i, fact in enumerate(labels)
    ]
    return Table(
        ("adapters", "kv_requests", "kv_spare"),
        np.array([[count, *kv_cache] for _, count, _ in rows], dtype=np.float32),
        tuple(recipe for recipe, _, _ in rows),
        tuple(Outcome(STEADY, run(count, 8, ttft_ms=100.0 if fact else 9000.0), fact) for _, count, fact in rows),
    )


def log_odds(chance: float) -> float:
    return float(np.log(chance / (1 - chance)))


def test_nothing_is_demanded_of_a_model_that_knows() -> None:
    known = table([[True, True, False]] * 20)
    odds = np.array([9.0 if outcome.met else -9.0 for outcome in known.labels])
    assert required_chance(known, odds) == REQUIRED[0]


def test_more_is_demanded_of_one_that_is_too_sure() -> None:
    """It gives the configurations beyond the limit a chance of 75 %, so more than that has to be asked for."""
    known = table([[True, True, False]] * 20)
    odds = np.array([log_odds(0.99 if outcome.met else 0.75) for outcome in known.labels])
    assert required_chance(known, odds) == min(chance for chance in REQUIRED if chance > 0.75)


def test_few_answers_may_miss_and_no_more() -> None:
    """Of 40 mixes some have a model that is too sure of what they miss; one of them is borne with, four are not."""

    def required(too_sure: int) -> float:
        mixes = table([[True, True, False]] * 40)
        wrong = [log_odds(0.75 if mix < too_sure else 0.01) for mix in range(40)]
        return required_chance(mixes, np.array([odds for miss in wrong for odds in (9.0, 9.0, miss)]))

    assert required(1) == REQUIRED[0]
    assert required(4) > 0.75


def test_configurations_that_crowd_a_small_kv_cache_are_none_that_miss() -> None:
    """They are not recommended, however likely: of the 40 that miss as above none counts."""
    wrong = np.array([9.0, 9.0, log_odds(0.75)] * 40)
    crowded, roomy = (table([[True, True, False]] * 40, (20.0, free)) for free in (0.9, 1.1))
    assert required_chance(crowded, wrong) == REQUIRED[0]
    assert required_chance(roomy, wrong) > 0.75


def test_a_guess_is_as_bold_as_brings_it_nearest_to_the_limit() -> None:
    """At even odds the model stops short of a limit that it gives a chance of 32 %; below 28 % it goes too far."""
    known = table([[True, True, False]] * 20)
    odds = np.array([log_odds(chance) for chance in (0.9, 0.32, 0.28)] * 20)
    assert best_guess(known, odds) == 0.3
    unbounded = table([[True, True, True]])
    assert best_guess(unbounded, odds[:3]) == 0.5


def test_every_run_is_told_of_under_every_limit_and_a_looser_one_is_never_worse() -> None:
    runs: list[SimulatedRun] = [run(8, 8, ttft_ms=ttft) for ttft in (100, 3000, 20_000)]
    recipe = sample(1, seed=0)[0]
    features = FEATURES["published"]
    x = np.ones((3, len(features)), dtype=np.float32)
    steady = outcomes(Table(features, x, (recipe,) * 3, tuple(runs)), "steady")
    limits = steady.column("ttft_limit").reshape(-1, 3)
    met = steady.target(lambda outcome: outcome.met).reshape(-1, 3)
    assert np.all(np.diff(limits, axis=0) > 0)
    assert np.all(np.diff(met, axis=0) >= 0)
    assert met.sum(axis=0).tolist() == [6, 3, 1]


def test_runs_are_learned_under_the_limits_of_their_mix_and_some_near_the_ttft_estimated() -> None:
    recipes = sample(12, seed=0)
    features = FEATURES["published"]
    x = np.ones((12, len(features)), dtype=np.float32)
    x[:, features.index("first_token_time")] = np.geomspace(1, 1e5, 12)  # ms
    table = Table(features, x, tuple(recipes), tuple(run(8, 8, ttft_ms=2500) for _ in recipes))
    found = learned(table, "steady")
    fixed, drawn = found.labels[: -12 * DRAWN], found.labels[-12 * DRAWN :]
    wanted = {(recipe.number, each) for recipe in recipes for each in searched(recipe) if each.name == "steady"}
    assert {(recipe.number, one.objective) for recipe, one in zip(found.recipes, fixed, strict=False)} == wanted
    assert [one.met for one in found.labels] == [one.objective.ttft_limit_s >= 2.5 for one in found.labels]
    assert all(0.5 <= one.objective.ttft_limit_s <= 30.0 for one in drawn)
    share = found.column("first_token_share")[-12 * DRAWN :].reshape(DRAWN, 12)
    near = np.abs(np.log(share[:, 7:9]))  # TTFTs of 1.5 and 4.3 s
    assert near.max() < 1.6
    assert len(rows_of_mixes(found)) == len(wanted), "recommendations are asked for under the limits that were searched"
    assert learned(table, "published").labels == outcomes(table, "published").labels
    assert {one.objective for one in outcomes(table, "steady").labels} == set(objectives_named("steady"))
