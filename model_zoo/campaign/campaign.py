"""All runs of a grid, on all cores or on a cluster; finished mixes are kept on disk: a killed campaign goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from joblib import Parallel, delayed, parallel_config

from model_zoo.campaign import profiles, search
from model_zoo.campaign.fingerprint import code_and_libraries
from model_zoo.campaign.grid import POINTS, Grid, Recipe
from model_zoo.campaign.kept import BrokenFileError, Kept
from model_zoo.campaign.profiles import Profiles
from model_zoo.campaign.runs import Objective, Simulate, SimulatedRun, Simulator
from model_zoo.campaign.search import Exploration, Findings, explore_grid, explore_limits, explore_points
from model_zoo.notes import note
from twin.progress import watched

CONNECT_S = 30
"""How long a cluster's scheduler may take to answer."""


SHOWN = 8
"""Files named, at most, in one line."""


class Configuration(NamedTuple):
    """So many adapters of a mix, on so many slots."""

    adapters: int
    max_loras: int


class Task(NamedTuple):
    """A mix to explore."""

    name: str
    """That what is found is kept under."""
    recipe: Recipe
    seed: int
    explore: Callable[[Simulator], Exploration]


@dataclass(frozen=True)
class Campaign:
    """What is simulated, and where and how."""

    profiles: Profiles
    grid: Grid
    seed: int
    work: Path
    """Folder that finished mixes are kept in."""
    jobs: int
    """Processes; -1 is one for every core."""
    simulate: Simulate | None = None
    """What simulates, in place of the twin."""
    scheduler: str = ""
    """Address of the Dask scheduler whose workers simulate, as tcp://host:8786; empty: processes of this machine."""

    @cached_property
    def fingerprint(self) -> str:
        """What the runs of a mix depend on: profiles, grid and seed, the code that makes them, and its libraries.

        Not on how many mixes there are: a grid that grows keeps what was found.
        """
        measured = " ".join(profile.model_dump_json() for profile in self.profiles.measured)
        grid, drawn = replace(self.grid, mixes=0), self.profiles.drawn
        code = " ".join(map(code_and_libraries, (search.__name__, profiles.__name__)))
        return hashlib.sha256(f"{measured} {drawn} {grid} {self.seed} {code}".encode()).hexdigest()

    @cached_property
    def recipes(self) -> list[Recipe]:
        """The mixes, each suited to the Profile that it is served under."""
        return [self.profiles.suited(recipe) for recipe in self.grid.recipes(self.seed)]

    @property
    def folder(self) -> Path:
        """Where its finished mixes are kept."""
        return self.work / self.profiles.name / self.fingerprint[:16]

    def findings(self) -> Findings:
        """Every mix of the grid, run as the limits ask and at points; each is kept in `work` as soon as it is done."""
        return Findings(tuple(self.explorations()), tuple(self.at_points()))

    def explorations(self) -> list[Exploration]:
        """Every mix of the grid explored, or read from `work`."""
        explore = partial(explore_grid, grid=self.grid)
        return self._kept("exploring", [Task(f"{each.number}", each, self.seed, explore) for each in self.recipes])

    def limits(self, wanted: Mapping[Recipe, Sequence[Objective]], *, again: bool = False) -> list[Exploration]:
        """What searches for the limits of some mixes ran, with other arrivals than before if `again`; kept too."""
        seed = self.seed + again
        tasks = [
            Task(
                _name(each, objectives, seed),
                each,
                seed,
                partial(explore_limits, grid=self.grid, objectives=objectives),
            )
            for each, objectives in wanted.items()
        ]
        return self._kept("searching", tasks)

    def at_points(self) -> list[Exploration]:
        """The mixes of the papers' kind, served as the papers did, at the points of their grid; kept too.

        None where the grid itself is of points.
        """
        explore = partial(explore_points, points=POINTS)
        tasks = [
            Task(_name(each, POINTS), each, self.seed, explore)
            for each in (() if self.grid.adapters else self.recipes)
            if each.kind == "papers" and self.profiles.of(each) in self.profiles.measured
        ]
        return self._kept("running the points of", tasks)

    def _kept(self, what: str, tasks: Sequence[Task]) -> list[Exploration]:
        """What tasks find: read where it is kept, the rest done now and kept."""
        kept = Kept(self.folder, self.fingerprint)
        found, broken = _read(kept, tasks)
        if broken:
            shown = ", ".join(broken[:SHOWN]) + (f" and {len(broken) - SHOWN} more" if len(broken) > SHOWN else "")
            note(f"{kept.folder}: simulating again what was altered, cut short or made elsewhere: {shown}")
        missing = [task for task in tasks if task.name not in found]
        done = self._in_parallel(delayed(_done)(self, task) for task in missing)
        for name, explored in watched(done, f"{what} {self.profiles.name}", len(missing)):
            kept.write(name, [explored.slots, [run.to_json() for run in explored.runs]])
        found |= _read(kept, missing)[0]  # not as it was found: the same each time, whenever it was found
        return [found[task.name] for task in tasks]

    def replay(self, wanted: Mapping[Recipe, Set[Configuration]]) -> dict[tuple[Recipe, Configuration], SimulatedRun]:
        """Run some configurations of some mixes."""
        replayed = self._in_parallel(delayed(_replay)(self, *each) for each in wanted.items())
        found = watched(replayed, f"replaying {self.profiles.name}", len(wanted))
        return {(recipe, key): run for recipe, runs in found for key, run in runs.items()}

    def _in_parallel(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """The results of tasks, in the order in which they are done."""
        with ExitStack() as stack:
            if self.scheduler:
                from distributed import Client

                client = stack.enter_context(Client(self.scheduler, timeout=CONNECT_S, set_as_default=False))
                stack.enter_context(parallel_config("dask", client=client))
            yield from Parallel(n_jobs=self.jobs, batch_size=1, return_as="generator_unordered")(tasks)


def _name(recipe: Recipe, *further: object) -> str:
    return f"{recipe.number}-{hashlib.sha256(repr(further).encode()).hexdigest()[:8]}"


def _read(kept: Kept, tasks: Sequence[Task]) -> tuple[dict[str, Exploration], list[str]]:
    """What was found before, by name, and the names of files that are not to be believed."""
    found, broken = {}, []
    for task in tasks:
        try:
            value = kept.read(task.name)
        except BrokenFileError:
            broken.append(kept.path(task.name).name)
            continue
        if value is not None:
            slots, runs = value
            found[task.name] = Exploration(task.recipe, tuple(slots), tuple(map(SimulatedRun.from_json, runs)))
    return found, broken


def _done(campaign: Campaign, task: Task) -> tuple[str, Exploration]:
    return task.name, task.explore(_simulator(campaign, task.recipe, task.seed))


def _replay(
    campaign: Campaign, recipe: Recipe, configurations: Set[Configuration]
) -> tuple[Recipe, dict[Configuration, SimulatedRun]]:
    simulator = _simulator(campaign, recipe, campaign.seed)
    return recipe, {each: simulator.run(*each) for each in sorted(configurations)}


def _simulator(campaign: Campaign, recipe: Recipe, seed: int) -> Simulator:
    return Simulator(
        campaign.profiles.of(recipe),
        recipe,
        duration_s=campaign.grid.duration_s,
        seed=seed,
        simulate=campaign.simulate,
    )
