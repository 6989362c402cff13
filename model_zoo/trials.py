"""Trying recommendations out: what is recommended for mixes never seen is run, and compared with the best run known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from advisor.features import MIX_FEATURES, SERVING_FEATURES, SLOTS_FEATURES, measure
from model_zoo.campaign import Campaign, Configuration
from model_zoo.dataset import Table
from model_zoo.evaluation import Line
from model_zoo.grid import Recipe
from model_zoo.labels import SlotChoice, best_run, load_limit
from model_zoo.runs import STARVED_BELOW, Goal, Run, most_slots
from model_zoo.search import Exploration
from model_zoo.training import Models

Policy = Callable[[float, int, int], int]
"""Slots, of what the tree asks for, the number of adapters, and the most that memory allows."""
RECOMMENDED = "recommended"
POLICIES: dict[str, Policy] = {
    RECOMMENDED: lambda asked, adapters, most: max(min(round(asked), adapters, most), 1),
    "max_loras = 32": lambda _, adapters, most: min(32, adapters, most),
    "max_loras = number of adapters": lambda _, adapters, most: min(adapters, most),
}


class Case(NamedTuple):
    """Adapters of a mix that need slots."""

    recipe: Recipe
    adapters: int
    asked: float
    """Slots that the tree asks for."""
    best: Run
    """The best run known."""


def try_slots(table: Table[SlotChoice], models: Models, goal: Goal, campaign: Campaign) -> list[Line]:
    """Slots for given numbers of adapters within the limit, against the best slots for as many."""
    mine = table.where(np.array([choice.goal == goal for choice in table.facts], dtype=np.bool_))
    asked = models.max_loras[goal.objective].predict(mine)
    rows = zip(mine.recipes, mine.facts, asked, strict=True)
    return _try([Case(recipe, choice.adapters, slots, choice.best) for recipe, choice, slots in rows], goal, campaign)


def try_all(explored: Iterable[Exploration], models: Models, goal: Goal, campaign: Campaign) -> list[Line]:
    """The recommended number of adapters with slots for them, against the best configuration at N*."""
    cases = []
    for each in explored:
        limit = load_limit(each.runs, goal)
        adapters, asked = recommend(each.recipe, models, goal, campaign)
        if limit.bounded and adapters:
            best = best_run([run for run in each.runs if run.adapters == limit.adapters and goal.met_by(run)])
            cases.append(Case(each.recipe, adapters, asked, best))
    return _try(cases, goal, campaign)


def recommend(recipe: Recipe, models: Models, goal: Goal, campaign: Campaign) -> tuple[int, float]:
    """As the advisor does: the adapters to admit (0: none) and the slots that the tree asks for.

    Where the ensembles expect the load limit to miss the goal, the most adapters for which they do not.
    """
    most = campaign.grid.max_adapters
    values = measure(recipe.adapters(most), campaign.profile, ttft_limit_s=goal.ttft_limit_s)
    row = Table.from_rows(MIX_FEATURES, [(recipe, values, None)])
    limit = float(models.load_limit[goal.objective].predict(row)[0])
    low, high = 0, min(int(limit / values["token_rate_mean"]), most) + 1
    middle, asked = high - 1, 0.0
    while high - low > 1:
        slots, met = _expect(recipe, middle, models, goal, campaign)
        low, high, asked = (middle, high, slots) if met else (low, middle, asked)
        middle = (low + high) // 2
    return low, asked


def _expect(recipe: Recipe, adapters: int, models: Models, goal: Goal, campaign: Campaign) -> tuple[float, bool]:
    """The slots that the tree asks for, and whether the ensembles expect the goal to be met with them."""
    mix, profile = recipe.adapters(adapters), campaign.profile
    values = measure(mix, profile, ttft_limit_s=goal.ttft_limit_s)
    asked = float(
        models.max_loras[goal.objective].predict(Table.from_rows(SLOTS_FEATURES, [(recipe, values, None)]))[0]
    )
    slots = POLICIES[RECOMMENDED](asked, adapters, most_slots(profile, float(mix.rank.max())))
    values = measure(mix, profile, ttft_limit_s=goal.ttft_limit_s, max_loras=slots)
    x = Table.from_rows(SERVING_FEATURES, [(recipe, values, None)]).x
    share = float(models.ensembles["throughput_share"].predict(x)[0])
    ttft_ms = float(np.exp(models.ensembles["ttft_ms"].predict(x)[0]))
    return asked, share >= STARVED_BELOW and (goal.objective == "published" or ttft_ms <= 1e3 * goal.ttft_limit_s)


def _try(cases: Sequence[Case], goal: Goal, campaign: Campaign) -> list[Line]:
    """Run every case with the slots of every policy."""
    chosen: dict[str, list[Configuration]] = {name: [] for name in POLICIES}
    wanted: dict[Recipe, set[Configuration]] = {}
    for case in cases:
        largest = float(case.recipe.adapters(case.adapters).rank.max())
        most = most_slots(campaign.profile, largest)
        for name, policy in POLICIES.items():
            configuration = Configuration(case.adapters, policy(case.asked, case.adapters, most))
            chosen[name].append(configuration)
            wanted.setdefault(case.recipe, set()).add(configuration)
    runs = campaign.replay(wanted)
    return [
        _line(name, cases, [runs[case.recipe, each] for case, each in zip(cases, configurations, strict=True)], goal)
        for name, configurations in chosen.items()
    ]


def _line(what: str, cases: Sequence[Case], runs: Sequence[Run], goal: Goal) -> Line:
    """How often the goal was missed, and what the runs cost against the best ones, on average."""
    if not cases:
        return Line(what, 0, {})
    pairs = [(run.measures, case.best.measures) for run, case in zip(runs, cases, strict=True)]
    errors = {
        "missed_percent": [100.0 * (not goal.met_by(run)) for run in runs],
        "starved_percent": [100.0 * run.starved for run in runs],
        "throughput_regret_percent": [
            100 * (1 - ours.throughput_tok_s / best.throughput_tok_s) for ours, best in pairs
        ],
        "itl_regret_percent": [100 * (ours.itl_ms / best.itl_ms - 1) for ours, best in pairs],
        "ttft_regret_s": [(ours.ttft_ms - best.ttft_ms) / 1e3 for ours, best in pairs],
    }
    return Line(what, len(cases), {name: float(np.nanmean(values)) for name, values in errors.items()})
