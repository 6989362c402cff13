"""A campaign loses no finished mix, whatever dies: itself, or a worker of the cluster it is spread over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from distributed import Client, LocalCluster

from model_zoo.campaign import Campaign
from model_zoo.dataset import is_held_out
from model_zoo.grid import FEWER_POINTS, POINTS, Grid
from tests.model_zoo.conftest import law_of_serving
from twin.engine.simulation import Measures
from twin.profile import Profile
from twin.settings import Settings
from twin.workload import Workload

GRID = Grid(mixes=12, duration_s=3600.0, slots=(1, 8, 64), max_adapters=64)


def slow_law(profile: Profile, server: Settings, workload: Workload, *, duration_s: float, seed: int) -> Measures:
    """Takes a while."""
    time.sleep(0.002)
    return law_of_serving(profile, server, workload, duration_s=duration_s, seed=seed)


def campaign(profile: Profile, work: Path, *, scheduler: str = "", grid: Grid = GRID) -> Campaign:
    return Campaign(profile, grid, seed=0, work=work, jobs=1, simulate=slow_law, scheduler=scheduler)


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def finished(work: Path) -> set[Path]:
    return {path.relative_to(work) for path in work.rglob("*.json")}


def test_a_killed_campaign_keeps_its_finished_mixes(profile: Profile, tmp_path: Path) -> None:
    (tmp_path / "profile.toml").write_text(profile.to_toml())
    code = (
        "from pathlib import Path; from twin.profile import load; from tests.model_zoo.test_campaign import campaign;"
        f"work = Path({str(tmp_path)!r}); campaign(load(work / 'profile.toml'), work).explorations()"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        wait_for(lambda: len(finished(tmp_path)) > 2)
        process.send_signal(signal.SIGKILL)
    kept = {path: (tmp_path / path).stat().st_mtime_ns for path in finished(tmp_path)}
    assert 2 < len(kept) < GRID.mixes
    resumed = campaign(profile, tmp_path).explorations()
    assert resumed == campaign(profile, tmp_path / "anew").explorations()
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in kept} == kept


def test_a_cluster_finds_the_same_though_one_of_its_workers_dies(profile: Profile, tmp_path: Path) -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        spread, work = campaign(profile, tmp_path / "cluster", scheduler=cluster.scheduler_address), tmp_path
        with subprocess.Popen([sys.executable, "-c", killer(client, work / "cluster")]) as process:
            found = spread.explorations()
        assert process.returncode == 0
    assert found == campaign(profile, tmp_path / "alone").explorations()


def killer(client: Client, work: Path) -> str:
    """A program that kills one of the workers once a mix is finished and some are not."""
    victim = next(iter(client.run(os.getpid).values()))
    return (
        "import os, signal, time; from pathlib import Path\n"
        f"while not list(Path({str(work)!r}).rglob('*.json')): time.sleep(0.01)\n"
        f"assert len(list(Path({str(work)!r}).rglob('*.json'))) < {GRID.mixes}\n"
        f"os.kill({victim}, signal.SIGKILL)"
    )


def test_every_mix_is_also_run_at_points_that_its_limit_does_not_move(profile: Profile, tmp_path: Path) -> None:
    findings = campaign(profile, tmp_path).findings()
    assert [each.recipe for each in findings.at_points] == [each.recipe for each in findings.searched]
    assert {each.recipe.kind == "papers" for each in findings.at_points} == {True, False}
    for each in findings.at_points:
        points = POINTS if each.recipe.kind == "papers" else FEWER_POINTS
        assert [(run.adapters, run.max_loras) for run in each.runs] == [
            (adapters, slots) for adapters in points for slots in points if slots <= adapters
        ]
    assert findings.hours == sum(len(each.runs) for each in (*findings.searched, *findings.at_points))
    assert {each.recipe.number for each in findings.where(is_held_out).at_points} == {4, 9}


def test_a_grid_of_points_is_run_at_each_of_them(profile: Profile, tmp_path: Path) -> None:
    grid = Grid(mixes=3, duration_s=3600.0, slots=POINTS, max_adapters=POINTS[-1], adapters=POINTS)
    for each in campaign(profile, tmp_path, grid=grid).explorations():
        assert each.recipe.kind == "papers"
        assert [(run.adapters, run.max_loras) for run in each.runs] == [
            (adapters, slots) for adapters in POINTS for slots in POINTS if slots <= adapters
        ]
