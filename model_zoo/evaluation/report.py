"""All judgements of a pair's models, on mixes they have not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from advisor.zoo.manifest import EnsembleOutput
from model_zoo.campaign.campaign import Campaign
from model_zoo.campaign.grid import POINTS
from model_zoo.campaign.runs import OBJECTIVE_NAMES, PUBLISHED, STEADY, ObjectiveName
from model_zoo.campaign.search import Exploration, Findings
from model_zoo.evaluation.evaluation import NAMES, Line, judge_limits, judge_serving, relative_errors
from model_zoo.evaluation.trials import (
    Example,
    Pairs,
    Recommendation,
    recommend_all,
    refusals,
    tightened,
    try_all,
    try_slots,
)
from model_zoo.training.dataset import Tables
from model_zoo.training.fit import TARGETS, Models, TreeOutput
from model_zoo.training.labels import load_limit

MISSED = 0.05
"""Share of the answers that may miss their objective."""
TRIED = 192
"""Held-out mixes whose slots alone are tried out, at most, and as many at points. Recommendations are for all: of 162
answers 5.6 % missed where of 436 it was 3.2."""
DEFAULTS = {"steady": STEADY, "published": PUBLISHED}
"""The limits that an objective is judged with where only one is."""


@dataclass(frozen=True, slots=True)
class Report:
    """How the models fare."""

    limits: dict[ObjectiveName, list[Line]]
    """N*; the first line is of all TTFT limits, the second of the default one."""
    slots: dict[ObjectiveName, list[Line]]
    """Slots for given adapters; the second line is ours, the first of the rules alone."""
    whole: dict[ObjectiveName, list[Line]]
    """Adapters and slots together; the first line is ours."""
    latency: list[Line]
    """The same with an ITL limit."""
    points: dict[ObjectiveName, list[Line]]
    """The same on the papers' own grid, for mixes of their kind."""
    recommendations: dict[ObjectiveName, list[Recommendation]]
    """What the advisor recommends for the held-out mixes."""
    serving: list[Line]
    """What to expect of a configuration; the first lines are in the order of `TARGETS`."""
    serving_points: list[Line]
    """The same at the points of the papers' grid."""

    def of_tree(self, name: ObjectiveName, output: TreeOutput) -> dict[str, float]:
        """The errors that a tree is shipped with."""
        line = self.limits[name][1] if output == "load_limit" else self.slots[name][0]
        return _rounded(line)

    def of_ensemble(self, output: EnsembleOutput) -> dict[str, float]:
        """The errors that an ensemble is shipped with."""
        return _rounded(self.serving[list(TARGETS).index(output)])

    def of_chance(self, name: ObjectiveName) -> dict[str, float]:
        """The errors that a chance is shipped with: of classifying runs, and of what is recommended by it."""
        classified = self.serving[len(TARGETS) + OBJECTIVE_NAMES.index(name)]
        return {**_rounded(classified), **_rounded(self.whole[name][0])}

    def sections(self) -> dict[str, list[Line]]:
        """All lines, under the titles of what they judge."""
        limits = {f"N*, {each}": lines for each, lines in self.limits.items()}
        slots = {f"Slots for given adapters, {each}": lines for each, lines in self.slots.items()}
        whole = {f"Adapters and slots together, {each}": lines for each, lines in self.whole.items()}
        points = {f"On the papers' grid, {each}": lines for each, lines in self.points.items()}
        return {
            **limits,
            **whole,
            "Adapters and slots together, latency": self.latency,
            **points,
            **slots,
            "What to expect of a configuration": self.serving,
            "What to expect at the points of the papers' grid": self.serving_points,
        }


def judge(models: Models, pairs: Pairs, tables: tuple[Tables, Tables], unseen: Findings, campaign: Campaign) -> Report:
    """Judge the models, and what the advisor recommends with them, by the held-out mixes.

    `tables` are those trained on and those of the held-out mixes, `unseen` is what was run of the latter.
    """
    train, held_out = tables
    runs = train.runs
    most = campaign.grid.max_adapters
    examples = {each: [Example(explored, DEFAULTS[each]) for explored in unseen.searched] for each in OBJECTIVE_NAMES}
    recommendations = {each: recommend_all(examples[each], pairs, most, jobs=campaign.jobs) for each in OBJECTIVE_NAMES}
    # What `published` recommends is a best guess already.
    guesses = {
        **recommendations,
        "steady": recommend_all(examples["steady"], _bold(pairs, models.guess), most, jobs=campaign.jobs),
    }
    again = _again(recommendations, campaign)
    at_points = unseen.at_points or unseen.searched
    theirs = [each for each in at_points if each.recipe.kind == "papers"][:TRIED]
    choices = {each: held_out.slots[each].of_first(TRIED) for each in OBJECTIVE_NAMES}
    return Report(
        limits={
            each: [
                *judge_limits(held_out.limits[each], train.limits[each], models.load_limit[each], most),
                *_best_guess(guesses[each]),
                again[each],
            ]
            for each in OBJECTIVE_NAMES
        },
        slots={each: try_slots(choices[each], models, DEFAULTS[each], pairs, campaign) for each in OBJECTIVE_NAMES},
        whole={
            each: [*try_all(recommendations[each], campaign), refusals(examples[each], pairs)]
            for each in OBJECTIVE_NAMES
        },
        latency=_try_latency(recommendations["steady"], pairs, campaign),
        points={each: _try_points(theirs, each, pairs, campaign) for each in OBJECTIVE_NAMES},
        recommendations=recommendations,
        serving=judge_serving(held_out.serving, runs, models),
        serving_points=judge_serving(held_out.points if unseen.at_points else held_out.serving, runs, models),
    )


def _bold(pairs: Pairs, guess: float) -> Pairs:
    """The models as they answer without caution: `steady` when it is as likely as the best guess at N* asks for."""
    chances = [
        entry.model_copy(update={"required": guess}) if entry.objective == "steady" else entry
        for entry in pairs.models.manifest.chances
    ]
    manifest = pairs.models.manifest.model_copy(update={"chances": chances})
    return pairs._replace(models=replace(pairs.models, manifest=manifest))


def _best_guess(recommendations: Sequence[Recommendation]) -> tuple[Line, Line]:
    """N* by the classifier's guesses: of all mixes, and of the papers' kind."""
    theirs = [one for one in recommendations if one.explored.recipe.kind == "papers"]
    what = "… by the classifier's best guess"
    return _line(what, recommendations), _line(f"{what}, {NAMES['papers']}", theirs)


def _line(what: str, recommendations: Sequence[Recommendation], admitted: Sequence[int] | None = None) -> Line:
    """How far the adapters admitted, or others, are from N*."""
    true = np.array([one.best.adapters for one in recommendations], dtype=np.float64)
    found = np.array(admitted or [one.adapters for one in recommendations], dtype=np.float64)
    return Line(what, len(recommendations), relative_errors(true, found))


def _again(
    recommendations: Mapping[ObjectiveName, Sequence[Recommendation]], campaign: Campaign
) -> dict[ObjectiveName, Line]:
    """N* of the same mixes when other requests arrive: what is left to chance, and so to nobody's models."""
    objectives = tuple(DEFAULTS.values())
    recipes = {one.explored.recipe: objectives for found in recommendations.values() for one in found}
    other = {each.recipe: each.runs for each in campaign.limits(recipes, again=True)}
    lines = {}
    for name, found in recommendations.items():
        limits = [load_limit(other[one.explored.recipe], one.objective).adapters for one in found]
        line = _line("… by the twin itself with other arrivals", found, limits)
        away = {"given_away_percent": given_away(found, limits)} if found else {}
        lines[name] = replace(line, errors={**line.errors, **away})
    return lines


def given_away(recommendations: Sequence[Recommendation], guesses: Sequence[int]) -> float:
    """Of N*, in %, what whoever guesses so gives away at least, if no more than `MISSED` of the mixes may miss.

    All guesses are cut down alike, as far as that takes.
    """
    true = np.array([one.best.adapters for one in recommendations], dtype=np.float64)
    guessed = np.array(guesses, dtype=np.float64)
    admitted = np.floor(guessed / max(float(np.quantile(guessed / true, 1.0 - MISSED, method="lower")), 1e-9) + 1e-9)
    return 100 * float(np.mean(np.maximum(1.0 - admitted / true, 0.0)))


def _try_latency(steady: Sequence[Recommendation], pairs: Pairs, campaign: Campaign) -> list[Line]:
    objectives = tightened(steady)
    examples = [Example(each, objectives[each.recipe][0]) for each in campaign.limits(objectives)]
    return try_all(recommend_all(examples, pairs, campaign.grid.max_adapters, jobs=campaign.jobs), campaign)


def _try_points(at_points: Sequence[Exploration], name: ObjectiveName, pairs: Pairs, campaign: Campaign) -> list[Line]:
    objective = DEFAULTS[name]
    examples = [Example(each, objective) for each in at_points]
    recommendations = recommend_all(examples, pairs, POINTS[-1], POINTS, campaign.jobs)
    within = [one for one in recommendations if load_limit(one.explored.runs, objective).bounded]
    first, *_ = try_all(within, campaign)
    return [*try_all(recommendations, campaign), replace(first, what=f"{first.what}, where the grid holds the limit")]


def _rounded(line: Line) -> dict[str, float]:
    return {name: round(value, 3) for name, value in line.errors.items()}
