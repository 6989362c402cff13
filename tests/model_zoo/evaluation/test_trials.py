"""What recommendations cost is compared where there is something to compare."""

from __future__ import annotations

import math
from dataclasses import replace

from model_zoo.campaign.grid import sample
from model_zoo.campaign.runs import STEADY, SimulatedRun
from model_zoo.campaign.search import Exploration
from model_zoo.evaluation.report import given_away
from model_zoo.evaluation.trials import Recommendation, Trial, costs, tightened
from tests.model_zoo.training.test_labels import run


def with_measures(one: SimulatedRun, **measures: float) -> SimulatedRun:
    return SimulatedRun(one.adapters, one.max_loras, replace(one.measures, **measures))  # type: ignore[arg-type]


def test_an_itl_limit_is_tried_where_the_best_hour_has_an_itl() -> None:
    """Answers of one token have none: long prompts in a short context leave no room for a second."""
    usual, terse = (Exploration(recipe, (1,), ()) for recipe in sample(8, seed=0)[:2])
    best = run(8, 8, itl_ms=40.0)
    answers = [
        Recommendation(usual, STEADY, 8, 8, best),
        Recommendation(terse, STEADY, 8, 8, with_measures(best, itl_ms=math.nan)),
    ]
    assert tightened(answers) == {usual.recipe: (STEADY._replace(itl_limit_s=0.03),)}


def test_hours_without_an_answer_count_where_they_can() -> None:
    recipe = sample(8, seed=0)[0]
    best = run(8, 8, itl_ms=40.0)
    idle = with_measures(best, throughput_tok_s=0.0, itl_ms=math.nan, ttft_ms=math.nan)
    cases = [Trial(recipe, STEADY, 8, {}, each) for each in (best, idle)]
    slower = with_measures(best, throughput_tok_s=0.9 * best.measures.throughput_tok_s, itl_ms=60.0, ttft_ms=1100.0)
    line = costs("recommended", cases, [slower, best])
    assert line.cases == 2
    assert {name: round(value, 6) for name, value in line.errors.items()} == {
        "missed_percent": 0.0,
        "starved_percent": 0.0,
        "throughput_regret_percent": 10.0,
        "itl_regret_percent": 50.0,
        "ttft_regret_s": 1.0,
    }
    assert set(costs("recommended", cases[1:], [best]).errors) == {"missed_percent", "starved_percent"}


def test_guesses_are_cut_down_until_few_enough_miss() -> None:
    recipe = Exploration(sample(8, seed=0)[0], (1,), ())
    answers = [Recommendation(recipe, STEADY, 0, 1, run(100, 8, itl_ms=40.0)) for _ in range(40)]
    assert given_away(answers, [100] * 40) == 0
    assert given_away(answers, [100] * 38 + [200] * 2) == 0, "a twentieth of them may miss"
    assert given_away(answers, [100] * 37 + [200] * 3) > 40, "or all are halved"
    assert given_away(answers, [50] * 20 + [100] * 20) == 25
