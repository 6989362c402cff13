"""Trying recommendations out: what is recommended for mixes never seen is run, and compared with the best run known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from advisor.objective import Goal as AdvisorGoal
from advisor.objective import Objective
from advisor.pairs import Pair
from advisor.recommend import choose
from model_zoo.campaign import Campaign, Configuration
from model_zoo.dataset import Table
from model_zoo.evaluation import NAMES, Line
from model_zoo.grid import Recipe
from model_zoo.labels import SlotChoice, best_run, load_limit
from model_zoo.runs import Goal, Run, most_slots
from model_zoo.search import Exploration
from model_zoo.training import Models
from twin.accuracy import smape

Policy = Callable[[int, int, int], int]
"""Slots, of what was asked for, the number of adapters, and the most that memory allows."""
RECOMMENDED = "recommended"
POLICIES: dict[str, Policy] = {
    RECOMMENDED: lambda asked, adapters, most: max(min(asked, adapters, most), 1),
    "max_loras = 32": lambda _, adapters, most: min(32, adapters, most),
    "max_loras = number of adapters": lambda _, adapters, most: min(adapters, most),
}


class Case(NamedTuple):
    """Adapters of a mix that need slots."""

    recipe: Recipe
    adapters: int
    asked: int
    """Slots that are recommended."""
    best: Run
    """The best run known."""


class Answer(NamedTuple):
    """What the advisor says of a mix."""

    explored: Exploration
    adapters: int
    """Adapters admitted; 0 where none is."""
    max_loras: int
    best: Run
    """The best run at N*."""

    @property
    def case(self) -> Case:
        """The answer as a case to try."""
        return Case(self.explored.recipe, self.adapters, self.max_loras, self.best)


def try_slots(table: Table[SlotChoice], models: Models, goal: Goal, campaign: Campaign) -> list[Line]:
    """Slots of the rules for given numbers of adapters within the limit, against the best slots for as many."""
    mine = table.where(np.array([choice.goal == goal for choice in table.facts], dtype=np.bool_))
    asked = models.max_loras[goal.objective].predict(mine)
    rows = zip(mine.recipes, mine.facts, asked, strict=True)
    cases = [Case(recipe, choice.adapters, round(slots), choice.best) for recipe, choice, slots in rows]
    return _lines(cases, _served(cases, campaign), goal)


def ask(explored: Iterable[Exploration], pair: Pair, goal: Goal, most: int) -> list[Answer]:
    """The advisor's own answers, adapters out of `most` and slots, for the mixes that reached their limit."""
    objective = Objective(AdvisorGoal(goal.objective), goal.ttft_limit_s)
    answers = []
    for each in explored:
        limit = load_limit(each.runs, goal)
        if limit.bounded:
            chosen = choose(pair, objective, each.recipe.adapters, most)
            slots = chosen.configuration.flags.max_loras if chosen.configuration else 0
            best = best_run([run for run in each.runs if run.adapters == limit.adapters and goal.met_by(run)])
            answers.append(Answer(each, chosen.size, slots, best))
    return answers


def try_all(answers: Sequence[Answer], goal: Goal, campaign: Campaign) -> list[Line]:
    """The answers against the best configuration at N*; the first line is of all of them, the last are by kind."""
    cases = [answer.case for answer in answers if answer.adapters]
    served = _served(cases, campaign)
    lines = _lines(cases, served, goal)
    for kind, name in NAMES.items():
        tried = [(case, run) for case, run in zip(cases, served[RECOMMENDED], strict=True) if case.recipe.kind == kind]
        line = _line(f"{RECOMMENDED}, {name}", [case for case, _ in tried], [run for _, run in tried], goal)
        some = [answer for answer in answers if answer.explored.recipe.kind == kind]
        lines.append(replace(line, errors={**_n_errors(some), **line.errors}))
    lines[0] = replace(lines[0], errors={**_n_errors(answers), **lines[0].errors})
    return lines


def _n_errors(answers: Sequence[Answer]) -> dict[str, float]:
    if not answers:
        return {}
    true, admitted = [answer.best.adapters for answer in answers], [answer.adapters for answer in answers]
    return {"smape_percent": smape(true, admitted)}


def _served(cases: Sequence[Case], campaign: Campaign) -> dict[str, list[Run]]:
    """Every case run with the slots of every policy."""
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
    return {
        name: [runs[case.recipe, each] for case, each in zip(cases, configurations, strict=True)]
        for name, configurations in chosen.items()
    }


def _lines(cases: Sequence[Case], served: dict[str, list[Run]], goal: Goal) -> list[Line]:
    return [_line(name, cases, runs, goal) for name, runs in served.items()]


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
