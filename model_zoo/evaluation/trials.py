"""Trying recommendations out: what is recommended for mixes never seen is run, and compared with the best run known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed

from advisor.recommend import objective as advisors
from advisor.recommend.choice.configuration import Configurator
from advisor.recommend.choice.search import choose
from advisor.zoo.models import Models as Shipped
from advisor.zoo.pair import Pair
from model_zoo.campaign.campaign import Campaign, Configuration
from model_zoo.campaign.grid import Recipe
from model_zoo.campaign.profiles import Profiles
from model_zoo.campaign.runs import Objective, SimulatedRun, most_slots
from model_zoo.campaign.search import Exploration
from model_zoo.evaluation.evaluation import NAMES, Line
from model_zoo.training.dataset import Table
from model_zoo.training.fit import Floats, Models
from model_zoo.training.labels import SlotChoice, best_run, load_limit
from twin.accuracy import smape
from twin.progress import watched
from twin.service_level import Limit

RECOMMENDED, RULES = "recommended", "by the rules alone"
SHARES = 16
"""Parts that mixes are dealt to, for whichever process is free: so many that none is left waiting for long."""
TIGHT = 0.75
"""The ITL limit that `latency` is tried with, as a share of the ITL of a server filled to its steady limit."""


class Pairs(NamedTuple):
    """The models as they are shipped, for the Profile of every mix."""

    profiles: Profiles
    models: Shipped

    def of(self, recipe: Recipe) -> Pair:
        """The pair that answers for a mix."""
        return Pair(self.profiles.of(recipe), self.models)


class Trial(NamedTuple):
    """Adapters of a mix that need slots."""

    recipe: Recipe
    objective: Objective
    adapters: int
    slots: Mapping[str, int]
    """Slots by who chose them, before they are cut off at what adapters and memory leave a use for."""
    best: SimulatedRun
    """The best run known."""


class Example(NamedTuple):
    """A mix and an objective to recommend for, with the runs that show what is right."""

    explored: Exploration
    objective: Objective


class Recommendation(NamedTuple):
    """What the advisor recommends for a mix, and the best run there is."""

    explored: Exploration
    objective: Objective
    adapters: int
    """Adapters admitted; 0 where none is."""
    max_loras: int
    best: SimulatedRun
    """The best run at N*."""

    @property
    def trial(self) -> Trial:
        """The recommendation, and the baselines beside it, as one to try out."""
        slots = _with_baselines(RECOMMENDED, self.max_loras, self.adapters)
        return Trial(self.explored.recipe, self.objective, self.adapters, slots, self.best)


def _with_baselines(name: str, slots: int, adapters: int) -> dict[str, int]:
    return {name: slots, "max_loras = 32": 32, "max_loras = number of adapters": adapters}


def try_slots(
    table: Table[SlotChoice], models: Models, objective: Objective, pairs: Pairs, campaign: Campaign
) -> list[Line]:
    """Slots for given numbers of adapters within the limit, against the best slots for as many."""
    mine = table.where(np.array([choice.objective == objective for choice in table.labels], dtype=np.bool_))
    trials = []
    ruled = models.max_loras[objective.name].predict(mine)
    for recipe, choice, by_rules in zip(mine.recipes, mine.labels, ruled, strict=True):
        configurator = Configurator(pairs.of(recipe), _as_advisors(objective))
        recommended = configurator.configure(recipe.adapters(choice.adapters)).settings.max_loras
        slots = {RULES: round(by_rules), **_with_baselines(RECOMMENDED, recommended, choice.adapters)}
        trials.append(Trial(recipe, objective, choice.adapters, slots, choice.best))
    return _lines(trials, _served(trials, campaign))


def recommend_all(
    examples: Iterable[Example], pairs: Pairs, most: int, points: Sequence[int] = (), jobs: int = 1
) -> list[Recommendation]:
    """What the advisor recommends, adapters out of `most` and slots, for the mixes that reached their limit.

    Where there are `points`, what it admits is cut down to the largest of them that it covers, and mixes that do not
    reach their limit within them are answered too. So many processes do it, each of which loads the models once.
    """
    examples = list(examples)
    shares = [examples[first::SHARES] for first in range(SHARES)]
    found = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(_recommended)(share, pairs, most, points) for share in shares if share
    )
    recommended: list[Recommendation | None] = [None] * len(examples)
    for first, of_share in enumerate(watched(found, "recommending", min(SHARES, len(examples)))):
        recommended[first::SHARES] = of_share
    return [one for one in recommended if one is not None]


def _recommended(
    examples: Iterable[Example], pairs: Pairs, most: int, points: Sequence[int]
) -> list[Recommendation | None]:
    """None for mixes that did not reach their limit."""
    recommendations: list[Recommendation | None] = []
    for explored, objective in examples:
        limit = load_limit(explored.runs, objective)
        if not (limit.bounded or (points and limit.adapters)):
            recommendations.append(None)
            continue
        mix, configurator = explored.recipe.adapters, Configurator(pairs.of(explored.recipe), _as_advisors(objective))
        chosen = choose(configurator, mix, most)
        covered = max((point for point in points if point <= chosen.size), default=0)
        if covered:
            chosen = choose(configurator, mix, covered)
        slots = chosen.configuration.settings.max_loras if chosen.configuration else 0
        best = best_run([run for run in explored.runs if run.adapters == limit.adapters and objective.met_by(run)])
        recommendations.append(Recommendation(explored, objective, chosen.size, slots, best))
    return recommendations


def refusals(examples: Iterable[Example], pairs: Pairs) -> Line:
    """How often the advisor refuses mixes of which not even one adapter keeps the objective."""
    refused = []
    for explored, objective in examples:
        if load_limit(explored.runs, objective).refused:
            fewest = min(run.adapters for run in explored.runs)
            configurator = Configurator(pairs.of(explored.recipe), _as_advisors(objective))
            refused.append(choose(configurator, explored.recipe.adapters, fewest).size == 0)
    errors = {"refused_percent": 100 * float(np.mean(refused))} if refused else {}
    return Line("mixes of which not one adapter keeps it", len(refused), errors)


def tightened(recommendations: Iterable[Recommendation]) -> dict[Recipe, tuple[Objective]]:
    """For each mix an ITL limit that it reaches before its steady limit: what `latency` is tried with.

    Mixes whose answers have a single token are left out: they have no ITL.
    """
    return {
        one.explored.recipe: (one.objective._replace(itl_limit_s=round(TIGHT * itl_ms) / 1e3),)
        for one in recommendations
        if math.isfinite(itl_ms := one.best.measures.itl_ms)
    }


def _as_advisors(objective: Objective) -> advisors.Objective:
    if math.isfinite(objective.itl_limit_s):
        return advisors.Objective(
            advisors.ObjectiveName.LATENCY, Limit(objective.ttft_limit_s), Limit(objective.itl_limit_s)
        )
    return advisors.Objective(advisors.ObjectiveName(objective.name), Limit(objective.ttft_limit_s))


def try_all(recommendations: Sequence[Recommendation], campaign: Campaign) -> list[Line]:
    """The recommendations against the best configuration at N*; the first line is of all, the last are of parts."""
    trials = [one.trial for one in recommendations if one.adapters]
    served = _served(trials, campaign)
    lines = _lines(trials, served) or [Line(RECOMMENDED, 0, {})]
    lines[0] = _with_n_errors(lines[0], recommendations)
    for part, of_part in _parts(recommendations, campaign.profiles).items():
        mine = [i for i, trial in enumerate(trials) if of_part(trial.recipe)]
        runs = [served[RECOMMENDED][i] for i in mine]
        line = costs(f"{RECOMMENDED}, {part}", [trials[i] for i in mine], runs)
        lines.append(_with_n_errors(line, [each for each in recommendations if of_part(each.explored.recipe)]))
    return lines


def _parts(recommendations: Sequence[Recommendation], profiles: Profiles) -> dict[str, Callable[[Recipe], bool]]:
    """What the mixes are told apart by: their kind, and whose Profile they are served under; by name."""
    kinds = {one.explored.recipe.kind for one in recommendations}
    parts: dict[str, Callable[[Recipe], bool]] = {}
    for kind in (kind for kind in NAMES if kind in kinds and len(kinds) > 1):
        parts[NAMES[kind]] = lambda recipe, kind=kind: recipe.kind == kind  # type: ignore[misc]
    for profile in profiles.measured if profiles.drawn else ():
        parts[profile.pair.name] = lambda recipe, profile=profile: profiles.of(recipe) == profile  # type: ignore[misc]
    if profiles.drawn:
        parts["Profiles never seen"] = lambda recipe: profiles.of(recipe) not in profiles.measured
    return parts


def _with_n_errors(line: Line, recommendations: Sequence[Recommendation]) -> Line:
    """With the error of the adapters admitted."""
    if not recommendations:
        return line
    true, admitted = [one.best.adapters for one in recommendations], [one.adapters for one in recommendations]
    return replace(line, errors={"smape_percent": smape(true, admitted), **line.errors})


def _served(trials: Sequence[Trial], campaign: Campaign) -> dict[str, list[SimulatedRun]]:
    """Every trial run with the slots of all who chose some."""
    chosen: dict[str, list[Configuration]] = {}
    wanted: dict[Recipe, set[Configuration]] = {}
    for trial in trials:
        most = most_slots(campaign.profiles.of(trial.recipe), float(trial.recipe.adapters(trial.adapters).rank.max()))
        for name, slots in trial.slots.items():
            configuration = Configuration(trial.adapters, max(min(slots, trial.adapters, most), 1))
            chosen.setdefault(name, []).append(configuration)
            wanted.setdefault(trial.recipe, set()).add(configuration)
    runs = campaign.replay(wanted)
    return {
        name: [runs[trial.recipe, each] for trial, each in zip(trials, configurations, strict=True)]
        for name, configurations in chosen.items()
    }


def _lines(trials: Sequence[Trial], served: Mapping[str, list[SimulatedRun]]) -> list[Line]:
    return [costs(name, trials, runs) for name, runs in served.items()]


def costs(what: str, trials: Sequence[Trial], runs: Sequence[SimulatedRun]) -> Line:
    """How often the objective was missed, and what the runs cost against the best ones, on average.

    An hour in which nothing was completed has no throughput to lose, one of answers of a single token no ITL.
    """
    ours, best = _compared(runs), _compared([trial.best for trial in trials])
    with np.errstate(divide="ignore", invalid="ignore"):
        throughput, itl, _ = (ours / best).T
    values = {
        "missed_percent": np.array(
            [100.0 * (not trial.objective.met_by(run)) for run, trial in zip(runs, trials, strict=True)]
        ),
        "starved_percent": np.array([100.0 * run.starved for run in runs]),
        "throughput_regret_percent": 100 * (1 - throughput),
        "itl_regret_percent": 100 * (itl - 1),
        "ttft_regret_s": (ours - best)[:, 2] / 1e3,
    }
    finite = {name: value[np.isfinite(value)] for name, value in values.items()}
    return Line(what, len(trials), {name: float(value.mean()) for name, value in finite.items() if value.size})


def _compared(runs: Sequence[SimulatedRun]) -> Floats:
    """Throughput, tokens/s, ITL and TTFT, ms, of each; shape (runs, 3)."""
    measures = [(run.measures.throughput_tok_s, run.measures.itl_ms, run.measures.ttft_ms) for run in runs]
    return np.array(measures, dtype=np.float64).reshape(-1, 3)
