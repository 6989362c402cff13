"""All runs of a grid, on all cores or on a cluster; finished mixes are kept on disk: a killed campaign goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from joblib import Parallel, delayed, parallel_config

import twin
from advisor.features import estimate
from model_zoo import grid, runs, search
from model_zoo.grid import FEWER_POINTS, POINTS, Grid, Recipe
from model_zoo.runs import Bench, Objective, Run, Simulate, most_slots
from model_zoo.search import Exploration, Findings, explore, explore_all, ladder, raise_limits
from twin.engine.simulation import simulate
from twin.files import write_whole
from twin.profile import Profile
from twin.progress import watched

CONNECT_S = 30
"""How long a cluster's scheduler may take to answer."""


class Configuration(NamedTuple):
    """So many adapters of a mix, on so many slots."""

    adapters: int
    max_loras: int


class Task(NamedTuple):
    """A mix to explore."""

    name: str
    """Of the file that keeps what is found."""
    recipe: Recipe
    explore: Callable[[], Exploration]


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

    def findings(self) -> Findings:
        """Every mix of the grid, run as the limits ask and at points; each is kept in `work` as soon as it is done."""
        return Findings(tuple(self.explorations()), tuple(self.at_points()))

    def explorations(self) -> list[Exploration]:
        """Every mix of the grid explored, or read from `work`."""
        recipes = self.grid.recipes(self.seed)
        return self._kept(
            "exploring", [Task(f"{each.number}", each, partial(_explore, self, each)) for each in recipes]
        )

    def limits(self, wanted: Mapping[Recipe, Sequence[Objective]], *, again: bool = False) -> list[Exploration]:
        """What searches for the limits of some mixes ran, with other arrivals than before if `again`; kept too."""
        seed = self.seed + again
        found = {recipe: partial(_search, self, recipe, objectives, seed) for recipe, objectives in wanted.items()}
        tasks = [Task(_name(each, wanted[each], seed), each, search) for each, search in found.items()]
        return self._kept("searching", tasks)

    def at_points(self) -> list[Exploration]:
        """Every mix at points that do not crowd at its limit, as those of the papers' grid; kept too.

        None where the grid itself is of points.
        """
        if self.grid.adapters:
            return []
        points = {each: POINTS if each.kind == "papers" else FEWER_POINTS for each in self.grid.recipes(self.seed)}
        found = {recipe: partial(_explore_points, self, recipe, at) for recipe, at in points.items()}
        tasks = [Task(_name(each, points[each]), each, explore) for each, explore in found.items()]
        return self._kept("running the points of", tasks)

    def _kept(self, what: str, tasks: Sequence[Task]) -> list[Exploration]:
        folder = self.work / self.profile.pair.name / self._fingerprint()
        folder.mkdir(parents=True, exist_ok=True)
        files = {task.name: folder / f"{task.name}.json" for task in tasks}
        missing = [task for task in tasks if not files[task.name].exists()]
        done = self._in_parallel(delayed(_done)(task) for task in missing)
        for name, explored in watched(done, f"{what} {self.profile.pair.name}", len(missing)):
            _keep(explored, files[name])
        return [_read(task.recipe, files[task.name]) for task in tasks]

    def replay(self, wanted: Mapping[Recipe, Set[Configuration]]) -> dict[tuple[Recipe, Configuration], Run]:
        """Run some configurations of some mixes."""
        replayed = self._in_parallel(delayed(_replay)(self, *each) for each in wanted.items())
        found = watched(replayed, f"replaying {self.profile.pair.name}", len(wanted))
        return {(recipe, key): run for recipe, runs in found for key, run in runs.items()}

    def _in_parallel(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """The results of tasks, in the order in which they are done."""
        with ExitStack() as stack:
            if self.scheduler:
                from distributed import Client

                client = stack.enter_context(Client(self.scheduler, timeout=CONNECT_S, set_as_default=False))
                stack.enter_context(parallel_config("dask", client=client))
            yield from Parallel(n_jobs=self.jobs, batch_size=1, return_as="generator_unordered")(tasks)

    def _fingerprint(self) -> str:
        """What the runs depend on: profile, grid, seed and the code of the twin, the estimate and the search."""
        digest = hashlib.sha256(f"{self.profile.model_dump_json()} {self.grid} {self.seed}".encode())
        modules = (Path(str(module.__file__)) for module in (estimate, grid, runs, search))
        for file in sorted([*Path(twin.__path__[0]).rglob("*.py"), *modules]):
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]


def _name(recipe: Recipe, *further: object) -> str:
    return f"{recipe.number}-{hashlib.sha256(repr(further).encode()).hexdigest()[:8]}"


def _done(task: Task) -> tuple[str, Exploration]:
    return task.name, task.explore()


def _explore(campaign: Campaign, recipe: Recipe) -> Exploration:
    if campaign.grid.adapters:
        return _explore_points(campaign, recipe, campaign.grid.adapters)
    bench = _bench(campaign, recipe, campaign.seed)
    slots = explore(bench, _allowed_slots(campaign, recipe), campaign.grid.max_adapters)
    return Exploration(recipe, slots, tuple(bench.runs))


def _explore_points(campaign: Campaign, recipe: Recipe, points: tuple[int, ...]) -> Exploration:
    bench = _bench(campaign, recipe, campaign.seed)
    explore_all(bench, points, points)
    return Exploration(recipe, points, tuple(bench.runs))


def _search(campaign: Campaign, recipe: Recipe, objectives: Sequence[Objective], seed: int) -> Exploration:
    bench, slots = _bench(campaign, recipe, seed), _allowed_slots(campaign, recipe)
    raise_limits(dict.fromkeys(objectives, -1), bench, slots, ladder(campaign.grid.max_adapters))
    return Exploration(recipe, tuple(slots), tuple(bench.runs))


def _allowed_slots(campaign: Campaign, recipe: Recipe) -> list[int]:
    """The grid's slots, cut off at the most that memory allows."""
    most = most_slots(campaign.profile, max(recipe.ranks.values))
    return sorted({min(count, most) for count in campaign.grid.slots if most})


def _keep(explored: Exploration, file: Path) -> None:
    write_whole(file, json.dumps([explored.slots, [run.to_json() for run in explored.runs]]).encode())


def _read(recipe: Recipe, file: Path) -> Exploration:
    slots, runs = json.loads(file.read_text(encoding="utf-8"))
    return Exploration(recipe, tuple(slots), tuple(map(Run.from_json, runs)))


def _replay(
    campaign: Campaign, recipe: Recipe, configurations: Set[Configuration]
) -> tuple[Recipe, dict[Configuration, Run]]:
    bench = _bench(campaign, recipe, campaign.seed)
    return recipe, {each: bench.run(*each) for each in sorted(configurations)}


def _bench(campaign: Campaign, recipe: Recipe, seed: int) -> Bench:
    return Bench(
        campaign.profile,
        recipe,
        duration_s=campaign.grid.duration_s,
        seed=seed,
        simulate=campaign.simulate,
    )
