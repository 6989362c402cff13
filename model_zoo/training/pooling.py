"""Models of a pair's own mixes, one set for all Profiles, and both together, side by side on the pair's held-out mixes.

All three are of the same kind and learn the same; they differ in the mixes that they see. Of both together the pair's
own mixes count as often as all others do, so that what is particular to it weighs as much as what is common.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from model_zoo.campaign.profiles import Profiles
from model_zoo.campaign.runs import STEADY, SimulatedRun
from model_zoo.training.admission import (
    Outcome,
    best_guess,
    classifier_fit,
    out_of_fold,
    outcomes,
    recommended,
    required_chance,
    rows_of_mixes,
    with_room,
)
from model_zoo.training.boosting import fitted
from model_zoo.training.comparison import MEANS
from model_zoo.training.dataset import Table, Tables
from model_zoo.training.fit import TARGETS, ensemble_fit, predict
from model_zoo.training.labels import load_limit
from twin.accuracy import smape
from twin.profile import Profile

ABOUT = (
    "Every pair's held-out mixes, by models of its own mixes, by one set for all Profiles, and by models of both in "
    f"which its own count as often as all others (steady, TTFT within {STEADY.ttft_limit_s:g} s; SMAPE in %). "
    "Admitted is the largest number of adapters that was run and is likely enough by each set's own cross-validation."
)
"""What the table shows."""
HEADINGS = (
    *("pair", "models", "mixes trained on", "held out", "N*, best guess", "not steady %", "adapters below N* %"),
    *("throughput", "ITL", "TTFT"),
)


@dataclass(frozen=True, slots=True)
class Score:
    """How models of some mixes do on the held-out mixes of a pair."""

    pair: str
    models: str
    trained: int
    """Mixes."""
    held_out: int
    """Mixes that reach their limit."""
    limit: float
    """SMAPE of N*, by the classifier's best guess, in %."""
    missed: float
    """Of what is admitted, what is not steady, in %."""
    below: float
    """How far what is admitted is below N*, on average, in %; more than N* counts as nothing."""
    expected: tuple[float, ...]
    """SMAPE of `MEANS`, in %."""


class _Admission(NamedTuple):
    most: int
    """N*."""
    outcome: Outcome | None
    """What is admitted; none where nothing is likely enough."""

    @property
    def adapters(self) -> int:
        return self.outcome.run.adapters if self.outcome else 0


def pooled(train: Tables, held_out: Tables, profiles: Profiles, jobs: int = 1) -> Iterator[Score]:
    """The scores, pair by pair; models are fitted by so many processes."""
    common = _Models(train.runs, jobs)
    for profile in profiles.measured:
        own, unseen = (_served_under(profile, profiles, tables.runs) for tables in (train, held_out))
        together = _Models(both(train.runs, own), jobs)
        for name, models in (("own", _Models(own, jobs)), ("common", common), ("both", together)):
            yield models.judged(profile.pair.name, name, unseen)


def both(runs: Table[SimulatedRun], own: Table[SimulatedRun]) -> Table[SimulatedRun]:
    """All runs, those of a pair's own mixes so often that they are about half."""
    often = max(round(len(runs.recipes) / len(own.recipes)) - 2, 0)
    return Table.joined([runs, *[own] * often])


def table_of(scores: Iterator[Score]) -> str:
    """The scores as a table in Markdown."""
    rows = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    for one in scores:
        errors = " | ".join(f"{error:.1f}" for error in (one.limit, one.missed, one.below, *one.expected))
        rows.append(f"| {one.pair} | {one.models} | {one.trained:,} | {one.held_out} | {errors} |")
    return "\n".join(rows)


class _Models:
    """What a configuration does and whether it is steady, learned from some runs."""

    def __init__(self, runs: Table[SimulatedRun], jobs: int) -> None:
        self.mixes = _mixes(runs)
        ended = _steady(runs)
        likely = classifier_fit(ended)
        self.classifier, *ensembles = fitted([likely, *(ensemble_fit(runs, output) for output in MEANS)], jobs)
        self.ensembles = dict(zip(MEANS, ensembles, strict=True))
        odds = out_of_fold(ended, likely, jobs)
        self.required, self.guess = required_chance(ended, odds), best_guess(ended, odds)

    def judged(self, pair: str, name: str, unseen: Table[SimulatedRun]) -> Score:
        guessed, admitted = (self._admissions(unseen, chance) for chance in (self.guess, self.required))
        missed = [not one.outcome.met for one in admitted if one.outcome]
        return Score(
            pair,
            name,
            self.mixes,
            len(guessed),
            smape([one.most for one in guessed], [one.adapters for one in guessed]),
            100 * float(np.mean(missed)) if missed else 0.0,
            100 * float(np.mean([max(1 - one.adapters / one.most, 0.0) for one in admitted])),
            tuple(
                smape(unseen.target(TARGETS[output]), predict(self.ensembles[output], unseen, output))
                for output in MEANS
            ),
        )

    def _admissions(self, unseen: Table[SimulatedRun], chance: float) -> list[_Admission]:
        """Of every mix that reaches its limit."""
        ended = _steady(unseen)
        odds = with_room(ended, np.asarray(self.classifier.predict(ended.x), dtype=np.float64))
        found = []
        for rows in rows_of_mixes(ended):
            limit = load_limit([ended.labels[i].run for i in rows], STEADY)
            if limit.bounded:
                chosen = recommended(ended, odds, rows, chance)
                found.append(_Admission(limit.adapters, None if chosen is None else ended.labels[chosen]))
        return found


def _steady(runs: Table[SimulatedRun]) -> Table[Outcome]:
    """Whether runs are steady within the usual limit; sets are compared on that one alone."""
    ended = outcomes(runs, "steady")
    return ended.where(np.array([one.objective == STEADY for one in ended.labels], dtype=np.bool_))


def _served_under(profile: Profile, profiles: Profiles, runs: Table[SimulatedRun]) -> Table[SimulatedRun]:
    mine = {recipe.number for recipe in set(runs.recipes) if profiles.of(recipe) == profile}
    return runs.where(np.array([recipe.number in mine for recipe in runs.recipes], dtype=np.bool_))


def _mixes(table: Table[Any]) -> int:
    return len({recipe.number for recipe in table.recipes})
