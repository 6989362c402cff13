"""Trying recommendations out: what is recommended for mixes never seen is run, and compared with the best run known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from advisor.recommend import objective as advisors
from advisor.recommend.configuration import Configurator
from advisor.recommend.recommend import choose
from advisor.zoo.pairs import Pair
from model_zoo.campaign import Campaign, Configuration
from model_zoo.dataset import Table
from model_zoo.evaluation import NAMES, Line
from model_zoo.grid import Recipe
from model_zoo.labels import SlotChoice, best_run, load_limit
from model_zoo.runs import Objective, Run, most_slots
from model_zoo.search import Exploration
from model_zoo.training import Floats, Models
from twin.accuracy import smape

RECOMMENDED, RULES = "recommended", "by the rules alone"
TIGHT = 0.75
"""The ITL limit that `latency` is tried with, as a share of the ITL of a server filled to its steady limit."""


class Case(NamedTuple):
    """Adapters of a mix that need slots."""

    recipe: Recipe
    objective: Objective
    adapters: int
    asked: Mapping[str, int]
    """Slots by who chose them, before they are cut off at what adapters and memory leave a use for."""
    best: Run
    """The best run known."""


class Question(NamedTuple):
    """What the advisor is asked of a mix, and the runs that show what is right."""

    explored: Exploration
    objective: Objective


class Answer(NamedTuple):
    """What the advisor says of a mix."""

    explored: Exploration
    objective: Objective
    adapters: int
    """Adapters admitted; 0 where none is."""
    max_loras: int
    best: Run
    """The best run at N*."""

    @property
    def case(self) -> Case:
        """The answer as a case to try."""
        asked = _with_naive(RECOMMENDED, self.max_loras, self.adapters)
        return Case(self.explored.recipe, self.objective, self.adapters, asked, self.best)


def _with_naive(name: str, slots: int, adapters: int) -> dict[str, int]:
    return {name: slots, "max_loras = 32": 32, "max_loras = number of adapters": adapters}


def try_slots(
    table: Table[SlotChoice], models: Models, objective: Objective, pair: Pair, campaign: Campaign
) -> list[Line]:
    """Slots for given numbers of adapters within the limit, against the best slots for as many."""
    mine = table.where(np.array([choice.objective == objective for choice in table.facts], dtype=np.bool_))
    configurator = Configurator(pair, _as_advisors(objective), max_model_len=None)
    cases = []
    ruled = models.max_loras[objective.name].predict(mine)
    for recipe, choice, by_rules in zip(mine.recipes, mine.facts, ruled, strict=True):
        slots = configurator.configure(recipe.adapters(choice.adapters)).settings.max_loras
        asked = {RULES: round(by_rules), **_with_naive(RECOMMENDED, slots, choice.adapters)}
        cases.append(Case(recipe, objective, choice.adapters, asked, choice.best))
    return _lines(cases, _served(cases, campaign))


def ask(questions: Iterable[Question], pair: Pair, most: int, points: Sequence[int] = ()) -> list[Answer]:
    """The advisor's own answers, adapters out of `most` and slots, for the mixes that reached their limit.

    Where there are `points`, what it admits is cut down to the largest of them that it covers, and mixes that do not
    reach their limit within them are asked for too.
    """
    answers = []
    for explored, objective in questions:
        limit = load_limit(explored.runs, objective)
        if limit.bounded or (points and limit.adapters):
            mix, wanted = explored.recipe.adapters, _as_advisors(objective)
            chosen = choose(pair, wanted, mix, most)
            covered = max((point for point in points if point <= chosen.size), default=0)
            if covered:
                chosen = choose(pair, wanted, mix, covered)
            slots = chosen.configuration.settings.max_loras if chosen.configuration else 0
            best = best_run([run for run in explored.runs if run.adapters == limit.adapters and objective.met_by(run)])
            answers.append(Answer(explored, objective, chosen.size, slots, best))
    return answers


def refuse(questions: Iterable[Question], pair: Pair) -> Line:
    """How often the advisor says no to mixes of which not even one adapter keeps the objective."""
    said = []
    for explored, objective in questions:
        if load_limit(explored.runs, objective).refused:
            fewest = min(run.adapters for run in explored.runs)
            said.append(choose(pair, _as_advisors(objective), explored.recipe.adapters, fewest).size == 0)
    errors = {"refused_percent": 100 * float(np.mean(said))} if said else {}
    return Line("mixes of which not one adapter keeps it", len(said), errors)


def tightened(answers: Iterable[Answer]) -> dict[Recipe, tuple[Objective]]:
    """For each mix an ITL limit that it reaches before its steady limit: what `latency` is tried with.

    Mixes whose answers have a single token are left out: they have no ITL.
    """
    return {
        answer.explored.recipe: (answer.objective._replace(itl_limit_s=round(TIGHT * itl_ms) / 1e3),)
        for answer in answers
        if math.isfinite(itl_ms := answer.best.measures.itl_ms)
    }


def _as_advisors(objective: Objective) -> advisors.Objective:
    if math.isfinite(objective.itl_limit_s):
        return advisors.Objective(advisors.ObjectiveName.LATENCY, objective.ttft_limit_s, objective.itl_limit_s)
    return advisors.Objective(advisors.ObjectiveName(objective.name), objective.ttft_limit_s)


def try_all(answers: Sequence[Answer], campaign: Campaign) -> list[Line]:
    """The answers against the best configuration at N*; the first line is of all of them, the last are by kind."""
    cases = [answer.case for answer in answers if answer.adapters]
    served = _served(cases, campaign)
    lines = _lines(cases, served) or [Line(RECOMMENDED, 0, {})]
    lines[0] = _with_n_errors(lines[0], answers)
    kinds = {answer.explored.recipe.kind for answer in answers}
    for kind in (kind for kind in NAMES if kind in kinds and len(kinds) > 1):
        mine = [i for i, case in enumerate(cases) if case.recipe.kind == kind]
        runs = [served[RECOMMENDED][i] for i in mine]
        line = costs(f"{RECOMMENDED}, {NAMES[kind]}", [cases[i] for i in mine], runs)
        lines.append(_with_n_errors(line, [each for each in answers if each.explored.recipe.kind == kind]))
    return lines


def _with_n_errors(line: Line, answers: Sequence[Answer]) -> Line:
    """With the error of the adapters admitted."""
    if not answers:
        return line
    true, admitted = [answer.best.adapters for answer in answers], [answer.adapters for answer in answers]
    return replace(line, errors={"smape_percent": smape(true, admitted), **line.errors})


def _served(cases: Sequence[Case], campaign: Campaign) -> dict[str, list[Run]]:
    """Every case run with the slots of all who chose some."""
    chosen: dict[str, list[Configuration]] = {}
    wanted: dict[Recipe, set[Configuration]] = {}
    for case in cases:
        most = most_slots(campaign.profile, float(case.recipe.adapters(case.adapters).rank.max()))
        for name, asked in case.asked.items():
            configuration = Configuration(case.adapters, max(min(asked, case.adapters, most), 1))
            chosen.setdefault(name, []).append(configuration)
            wanted.setdefault(case.recipe, set()).add(configuration)
    runs = campaign.replay(wanted)
    return {
        name: [runs[case.recipe, each] for case, each in zip(cases, configurations, strict=True)]
        for name, configurations in chosen.items()
    }


def _lines(cases: Sequence[Case], served: Mapping[str, list[Run]]) -> list[Line]:
    return [costs(name, cases, runs) for name, runs in served.items()]


def costs(what: str, cases: Sequence[Case], runs: Sequence[Run]) -> Line:
    """How often the objective was missed, and what the runs cost against the best ones, on average.

    An hour in which nothing was completed has no throughput to lose, one of answers of a single token no ITL.
    """
    ours, best = _compared(runs), _compared([case.best for case in cases])
    with np.errstate(divide="ignore", invalid="ignore"):
        throughput, itl, _ = (ours / best).T
    values = {
        "missed_percent": np.array(
            [100.0 * (not case.objective.met_by(run)) for run, case in zip(runs, cases, strict=True)]
        ),
        "starved_percent": np.array([100.0 * run.starved for run in runs]),
        "throughput_regret_percent": 100 * (1 - throughput),
        "itl_regret_percent": 100 * (itl - 1),
        "ttft_regret_s": (ours - best)[:, 2] / 1e3,
    }
    finite = {name: value[np.isfinite(value)] for name, value in values.items()}
    return Line(what, len(cases), {name: float(value.mean()) for name, value in finite.items() if value.size})


def _compared(runs: Sequence[Run]) -> Floats:
    """Throughput, tokens/s, ITL and TTFT, ms, of each; shape (runs, 3)."""
    measures = [(run.measures.throughput_tok_s, run.measures.itl_ms, run.measures.ttft_ms) for run in runs]
    return np.array(measures, dtype=np.float64).reshape(-1, 3)
