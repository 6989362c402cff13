"""All runs of a grid, on all cores or on a cluster; finished mixes are kept on disk: a killed campaign goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from joblib import Parallel, delayed, parallel_config
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

CONNECT_S = 30
"""How long a cluster's scheduler may take to answer."""


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
    scheduler: str = ""
    """Address of the Dask scheduler whose workers simulate, as tcp://host:8786; empty: processes of this machine."""

    def explorations(self) -> list[Exploration]:
        """Every mix of the grid explored, or read from `work`, where each is kept as soon as it is done."""
        folder = self.work / self.profile.pair.name / self._fingerprint()
        folder.mkdir(parents=True, exist_ok=True)
        files = {recipe: folder / f"{recipe.number}.json" for recipe in self.grid.recipes(self.seed)}
        missing = [recipe for recipe, file in files.items() if not file.exists()]
        explored = self._in_parallel(delayed(_explore)(self, recipe) for recipe in missing)
        for each in self._with_progress(explored, len(missing), "exploring"):
            _keep(each, files[each.recipe])
        return [_read(recipe, file) for recipe, file in files.items()]

    def replay(self, wanted: Mapping[Recipe, Set[Configuration]]) -> dict[tuple[Recipe, Configuration], Run]:
        """Run some configurations of some mixes."""
        replayed = self._in_parallel(delayed(_replay)(self, *each) for each in wanted.items())
        found = self._with_progress(replayed, len(wanted), "replaying")
        return {(recipe, key): run for recipe, runs in found for key, run in runs.items()}

    def _in_parallel(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """The results of tasks, in the order in which they are done."""
        with ExitStack() as stack:
            if self.scheduler:
                from distributed import Client

                client = stack.enter_context(Client(self.scheduler, timeout=CONNECT_S, set_as_default=False))
                stack.enter_context(parallel_config("dask", client=client))
            yield from Parallel(n_jobs=self.jobs, batch_size=1, return_as="generator_unordered")(tasks)

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


def _explore(campaign: Campaign, recipe: Recipe) -> Exploration:
    grid, bench = campaign.grid, _bench(campaign, recipe)
    if grid.adapters:
        explore_all(bench, grid.slots, grid.adapters)
        return Exploration(recipe, grid.slots, tuple(bench.runs))
    most = most_slots(campaign.profile, max(recipe.ranks.values))
    allowed = sorted({min(count, most) for count in grid.slots if most})
    slots = explore(bench, allowed, grid.max_adapters)
    return Exploration(recipe, slots, tuple(bench.runs))


def _keep(explored: Exploration, file: Path) -> None:
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps([explored.slots, [run.to_json() for run in explored.runs]]), encoding="utf-8")
    unfinished.replace(file)


def _read(recipe: Recipe, file: Path) -> Exploration:
    slots, runs = json.loads(file.read_text(encoding="utf-8"))
    return Exploration(recipe, tuple(slots), tuple(map(Run.from_json, runs)))


def _replay(
    campaign: Campaign, recipe: Recipe, configurations: Set[Configuration]
) -> tuple[Recipe, dict[Configuration, Run]]:
    bench = _bench(campaign, recipe)
    return recipe, {each: bench.run(*each) for each in sorted(configurations)}


def _bench(campaign: Campaign, recipe: Recipe) -> Bench:
    return Bench(
        campaign.profile,
        recipe,
        duration_s=campaign.grid.duration_s,
        seed=campaign.seed,
        simulate=campaign.simulate,
    )
