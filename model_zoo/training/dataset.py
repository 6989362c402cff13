"""Features beside what was found: the arrays that models are trained and judged on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Generic, TypeVar

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from advisor.features.estimate import Estimates, estimates
from advisor.features.served_mix import ServedMix
from advisor.features.vector import (
    MIX_FEATURES,
    SERVING_FEATURES,
    SLOTS_FEATURES,
    measure,
    measure_limits,
    measure_slots,
    vector,
)
from model_zoo.campaign.grid import Recipe
from model_zoo.campaign.profiles import Profiles
from model_zoo.campaign.runs import OBJECTIVE_NAMES, OBJECTIVES, STEADY, ObjectiveName, SimulatedRun, searched
from model_zoo.campaign.search import Exploration, Findings
from model_zoo.training.labels import LoadLimit, SlotChoice, load_limit, slot_choices
from twin.profile import Profile
from twin.progress import watched

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

HELD_OUT = 5
"""Every fifth mix is held out, to judge the models by."""
LIMITS_S = tuple(sorted({objective.ttft_limit_s for objective in OBJECTIVES}))
"""Limits of the mean TTFT that are learned."""
SCALES_OF_LIMITS = ("estimated_load", "saturated_load", "steady_load", "token_rate_mean")
SCALES_OF_RUNS = ("token_rate",)
SIGHTINGS = 3
"""Inventories of different sizes in which a mix is seen when its load limit is asked for."""
INVENTORY = 4.0
"""Times that the largest of these is as large as what is admitted; the few busiest weigh the less, the larger it is."""


Label = TypeVar("Label")


@dataclass(frozen=True, slots=True)
class Table(Generic[Label]):
    """Rows of features beside the labels that they are the features of."""

    features: tuple[str, ...]
    x: NDArray[np.float32]
    """Shape (rows, features)."""
    recipes: tuple[Recipe, ...]
    """The mix that each row is of."""
    labels: tuple[Label, ...]
    """What was found, one of each row."""
    scales: Mapping[str, Floats] = field(default_factory=dict)
    """What answers are multiples of, and no model sees; by name, shape (rows,)."""

    @classmethod
    def from_rows(
        cls,
        features: tuple[str, ...],
        rows: Sequence[tuple[Recipe, dict[str, float], Label]],
        scales: Sequence[str] = (),
    ) -> Table[Label]:
        """A table of mixes, measured features and labels."""
        x = [vector(values, features) for _, values, _ in rows]
        return Table(
            features,
            np.concatenate([np.empty((0, len(features)), dtype=np.float32), *x]),
            recipes=tuple(recipe for recipe, _, _ in rows),
            labels=tuple(fact for _, _, fact in rows),
            scales={name: np.array([values[name] for _, values, _ in rows], dtype=np.float64) for name in scales},
        )

    @classmethod
    def joined(cls, tables: Sequence[Table[Label]]) -> Table[Label]:
        """The rows of tables with the same features, one after the other."""
        return Table(
            tables[0].features,
            np.concatenate([table.x for table in tables]),
            recipes=tuple(recipe for table in tables for recipe in table.recipes),
            labels=tuple(fact for table in tables for fact in table.labels),
            scales={name: np.concatenate([table.scales[name] for table in tables]) for name in tables[0].scales},
        )

    def column(self, feature: str) -> Floats:
        """One feature or scale, shape (rows,)."""
        if feature in self.scales:
            return self.scales[feature]
        return self.x[:, self.features.index(feature)].astype(np.float64)

    def target(self, of: Callable[[Label], float]) -> Floats:
        """A number of each fact, shape (rows,)."""
        return np.array([of(fact) for fact in self.labels], dtype=np.float64)

    def where(self, chosen: Bools) -> Table[Label]:
        """The chosen rows."""
        rows = np.flatnonzero(chosen)
        return Table(
            self.features,
            self.x[rows],
            tuple(self.recipes[i] for i in rows),
            tuple(self.labels[i] for i in rows),
            {name: values[rows] for name, values in self.scales.items()},
        )

    def of_first(self, count: int) -> Table[Label]:
        """The rows of the first so many mixes."""
        numbers = sorted({recipe.number for recipe in self.recipes})[:count]
        return self.where(np.isin([recipe.number for recipe in self.recipes], numbers))

    def split(self) -> tuple[Table[Label], Table[Label]]:
        """The rows to train on, and those of held-out mixes, to judge what was learned."""
        held_out = np.array([is_held_out(recipe) for recipe in self.recipes], dtype=np.bool_)
        return self.where(~held_out), self.where(held_out)


def is_held_out(recipe: Recipe) -> bool:
    """Whether models must not see this mix in training."""
    return recipe.number % HELD_OUT == HELD_OUT - 1


@dataclass(frozen=True, slots=True)
class Tables:
    """All that the models of a pair are trained or judged on."""

    limits: dict[ObjectiveName, Table[LoadLimit]]
    """Load limits of the mixes that reached theirs, for the TTFT limits that each is searched for."""
    slots: dict[ObjectiveName, Table[SlotChoice]]
    """Best slots, for numbers of adapters up to the limit and for these TTFT limits."""
    serving: Table[SimulatedRun]
    """Runs of the search in which answers were written: most of them close to a limit or beyond."""
    points: Table[SimulatedRun]
    """Such runs at points that are the same whatever the limit."""

    @property
    def runs(self) -> Table[SimulatedRun]:
        """Both."""
        return Table.joined([self.serving, self.points])

    def split(self) -> tuple[Tables, Tables]:
        """As `Table.split`."""
        limits = {name: table.split() for name, table in self.limits.items()}
        slots = {name: table.split() for name, table in self.slots.items()}
        serving, points = self.serving.split(), self.points.split()
        train, held_out = (
            Tables(
                {name: tables[part] for name, tables in limits.items()},
                {name: tables[part] for name, tables in slots.items()},
                serving[part],
                points[part],
            )
            for part in (0, 1)
        )
        return train, held_out


_NO_RUNS: Table[SimulatedRun] = Table.from_rows(SERVING_FEATURES, [], SCALES_OF_RUNS)


def tabulate(findings: Findings, profiles: Profiles, max_adapters: int, jobs: int = 1) -> Tables:
    """The labels that the runs of a campaign show, with their features; measured by so many processes."""
    parallel = Parallel(n_jobs=jobs, batch_size=8, return_as="generator")
    searched, points = findings.searched, findings.at_points
    tables = parallel(delayed(_tables)(mix, profiles.of(mix.recipe), max_adapters) for mix in searched)
    each = list(watched(tables, "measuring what was searched", len(searched)))
    serving = parallel(delayed(_at_points)(mix, profiles.of(mix.recipe)) for mix in points)
    at_points = list(watched(serving, "measuring what was run at points", len(points)))
    return Tables(
        {name: Table.joined([tables.limits[name] for tables in each]) for name in OBJECTIVE_NAMES},
        {name: Table.joined([tables.slots[name] for tables in each]) for name in OBJECTIVE_NAMES},
        Table.joined([tables.serving for tables in each]),
        Table.joined([_NO_RUNS, *at_points]),
    )


@dataclass(frozen=True)
class _Measured:
    """The features of one mix at any size, each measured once."""

    recipe: Recipe
    profile: Profile
    _at: dict[int, dict[float, dict[str, float]]] = field(default_factory=dict)
    _estimates: dict[int, Estimates] = field(default_factory=dict)

    def estimates(self, adapters: int) -> Estimates:
        """Of so many adapters on their server."""
        if adapters not in self._estimates:
            self._estimates[adapters] = estimates(ServedMix(self.recipe.adapters(adapters), self.profile))
        return self._estimates[adapters]

    def at(self, adapters: int, ttft_limit_s: float) -> dict[str, float]:
        """Those of so many adapters under a limit."""
        if adapters not in self._at:
            found = measure_limits(self.estimates(adapters), LIMITS_S)
            self._at[adapters] = dict(zip(LIMITS_S, found, strict=True))
        return self._at[adapters][ttft_limit_s]

    def beside(self, adapters: int, limit: LoadLimit) -> dict[str, float]:
        """Those of so many adapters beside the base traffic at a limit: it does not grow with who else would like to
        be served.
        """
        ttft_limit_s = limit.objective.ttft_limit_s
        if not self.recipe.base_share:
            return self.at(adapters, ttft_limit_s)
        mix = replace(self.recipe.adapters(adapters), base=self.recipe.adapters(limit.adapters).base)
        return measure(mix, self.profile, ttft_limit_s=ttft_limit_s)


def _tables(explored: Exploration, profile: Profile, max_adapters: int) -> Tables:
    measured = _Measured(explored.recipe, profile)
    return Tables(
        {name: _limits(explored, measured, name, max_adapters) for name in OBJECTIVE_NAMES},
        {name: _slots(explored, measured, name, max_adapters) for name in OBJECTIVE_NAMES},
        _serving(explored, measured),
        _NO_RUNS,
    )


def _at_points(explored: Exploration, profile: Profile) -> Table[SimulatedRun]:
    return _serving(explored, _Measured(explored.recipe, profile))


def _limits(explored: Exploration, measured: _Measured, name: ObjectiveName, max_adapters: int) -> Table[LoadLimit]:
    """The inventory that a limit is asked for shows more adapters than can be admitted; how many more, differs."""
    limits = [load_limit(explored.runs, objective) for objective in searched(explored.recipe) if objective.name == name]
    most = max((limit.adapters for limit in limits), default=0)
    sizes = list(_inventory_sizes(explored.recipe, most, max_adapters))
    rows = [
        (explored.recipe, measured.beside(size, limit), limit) for limit in limits if limit.bounded for size in sizes
    ]
    return Table.from_rows(MIX_FEATURES, rows, SCALES_OF_LIMITS)


def _slots(explored: Exploration, measured: _Measured, name: ObjectiveName, max_adapters: int) -> Table[SlotChoice]:
    """One adapter has one slot, whatever else; beside others that are asked equally often, it would teach them so."""
    rows = [
        (explored.recipe, measured.at(choice.adapters, objective.ttft_limit_s), choice)
        for objective in searched(explored.recipe)
        if objective.name == name
        for choice in slot_choices(explored, objective, max_adapters)
        if choice.adapters > 1
    ]
    return Table.from_rows(SLOTS_FEATURES, rows)


def _serving(explored: Exploration, measured: _Measured) -> Table[SimulatedRun]:
    rows = []
    answered = (run for run in explored.runs if run.measures.itl_ms > 0)
    for adapters, group in groupby(answered, key=lambda run: run.adapters):
        runs = list(group)
        values, slots = measured.at(adapters, STEADY.ttft_limit_s), [run.max_loras for run in runs]
        for run, each in zip(runs, measure_slots(values, measured.estimates(adapters), slots), strict=True):
            rows.append((explored.recipe, each, run))
    return Table.from_rows(SERVING_FEATURES, rows, SCALES_OF_RUNS)


def _inventory_sizes(recipe: Recipe, limit: int, max_adapters: int) -> Iterator[int]:
    """Numbers of adapters above the limit, at random on a logarithmic scale."""
    random = np.random.default_rng([recipe.number, 3])
    for exponent in random.uniform(size=SIGHTINGS):
        yield min(round((limit + 1) * INVENTORY ** float(exponent)), max_adapters)
