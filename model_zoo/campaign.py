"""All runs of a grid, on all cores; each mix is kept on disk when it is done, so that a killed campaign goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from joblib import Parallel, delayed
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import twin
from advisor import estimate
from model_zoo import grid, runs, search
from model_zoo.grid import Grid, Recipe
from model_zoo.runs import Bench, Run, Simulate, most_slots
from model_zoo.search import Exploration, explore, explore_all
from twin.profile import Profile
from twin.simulation import simulate

Result = TypeVar("Result")


class Configuration(NamedTuple):
    """So many adapters of a mix, on so many slots."""

    adapters: int
    max_loras: int


@dataclass(frozen=True, slots=True)
class Campaign:
    """What is simulated, and where and how."""

    profile: Profile
    grid: Grid
    seed: int
    work: Path
    """Folder that finished mixes are kept in."""
    jobs: int
    """Processes; -1 is one for every core."""
    simulate: Simulate = simulate

    def explorations(self) -> list[Exploration]:
        """Every mix of the grid explored, or read from `work`."""
        folder = self.work / self.profile.pair.name / self._fingerprint()
        folder.mkdir(parents=True, exist_ok=True)
        recipes = self.grid.recipes(self.seed)
        explored = self._in_parallel(
            delayed(_explore)(self, recipe, folder / f"{recipe.number}.json") for recipe in recipes
        )
        return list(self._with_progress(explored, len(recipes), "exploring"))

    def replay(self, wanted: Mapping[Recipe, Set[Configuration]]) -> dict[tuple[Recipe, Configuration], Run]:
        """Run some configurations of some mixes."""
        replayed = self._in_parallel(delayed(_replay)(self, *each) for each in wanted.items())
        found = self._with_progress(replayed, len(wanted), "replaying")
        return {(recipe, key): run for recipe, runs in zip(wanted, found, strict=True) for key, run in runs.items()}

    def _in_parallel(self, tasks: Iterator[Result]) -> Iterator[Result]:
        results: Iterator[Result] = Parallel(n_jobs=self.jobs, batch_size=1, return_as="generator")(tasks)
        return results

    def _with_progress(self, results: Iterator[Result], total: int, what: str) -> Iterator[Result]:
        """Draw a progress bar on stderr where that is a terminal."""
        console = Console(stderr=True)
        title = TextColumn(f"{what} {self.profile.pair.name}")
        columns = (title, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"))
        with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(what, total=total)
            for result in results:
                yield result
                bar.advance(task)

    def _fingerprint(self) -> str:
        """What the runs depend on: profile, grid, seed and the code of the twin, the estimate and the search."""
        digest = hashlib.sha256(f"{self.profile.model_dump_json()} {self.grid} {self.seed}".encode())
        modules = (Path(str(module.__file__)) for module in (estimate, grid, runs, search))
        for file in sorted([*Path(twin.__path__[0]).glob("*.py"), *modules]):
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]


def _explore(campaign: Campaign, recipe: Recipe, file: Path) -> Exploration:
    if not file.exists():
        slots, found = _searched(campaign, recipe)
        unfinished = file.with_suffix(f".{os.getpid()}.unfinished")
        unfinished.write_text(json.dumps([slots, [run.to_json() for run in found]]), encoding="utf-8")
        unfinished.replace(file)
    slots, runs = json.loads(file.read_text(encoding="utf-8"))
    return Exploration(recipe, tuple(slots), tuple(map(Run.from_json, runs)))


def _searched(campaign: Campaign, recipe: Recipe) -> tuple[Sequence[int], list[Run]]:
    """The slots tried, and all runs."""
    grid, bench = campaign.grid, _bench(campaign, recipe)
    if grid.adapters:
        explore_all(bench, grid.slots, grid.adapters)
        return grid.slots, bench.runs
    most = most_slots(campaign.profile, max(recipe.ranks.values))
    allowed = sorted({min(count, most) for count in grid.slots if most})
    return explore(bench, allowed, grid.max_adapters), bench.runs


def _replay(campaign: Campaign, recipe: Recipe, configurations: Set[Configuration]) -> dict[Configuration, Run]:
    bench = _bench(campaign, recipe)
    return {each: bench.run(*each) for each in sorted(configurations)}


def _bench(campaign: Campaign, recipe: Recipe) -> Bench:
    return Bench(
        campaign.profile,
        recipe,
        duration_s=campaign.grid.duration_s,
        seed=campaign.seed,
        simulate=campaign.simulate,
    )
