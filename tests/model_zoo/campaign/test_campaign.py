"""A campaign loses no finished mix, whatever dies: itself, or a worker of the cluster it is spread over.

And it believes none that is not the one it kept.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from model_zoo import pair
from model_zoo.__main__ import main
from model_zoo.campaign import campaign as campaigns
from model_zoo.campaign.fingerprint import PACKAGES, SOURCES, code_and_libraries
from model_zoo.campaign.grid import GRIDS, POINTS, Grid, GridName
from model_zoo.campaign.lock import locked
from model_zoo.campaign.profiles import Profiles
from model_zoo.training.dataset import is_held_out
from tests.model_zoo.law import MIXES, campaign, law_of_serving, slow
from twin.engine.simulation import Measures
from twin.profile import Profile
from twin.settings import Settings
from twin.workload import Workload

ADVICE = "let it end, or use another folder"


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def finished(work: Path) -> set[Path]:
    return {path.relative_to(work) for path in work.rglob("*.json")}


def test_a_killed_campaign_keeps_its_finished_mixes(profile: Profile, tmp_path: Path) -> None:
    (tmp_path / "profile.toml").write_text(profile.to_toml())
    code = (
        "from pathlib import Path; from twin.profile import load; from tests.model_zoo.law import slow;"
        f"work = Path({str(tmp_path)!r}); slow(load(work / 'profile.toml'), work).explorations()"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        wait_for(lambda: len(finished(tmp_path)) > 2)
        process.send_signal(signal.SIGKILL)
    kept = {path: (tmp_path / path).stat().st_mtime_ns for path in finished(tmp_path)}
    assert 2 < len(kept) < MIXES.mixes
    resumed = campaign(profile, tmp_path).explorations()
    assert resumed == campaign(profile, tmp_path / "anew").explorations()
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in kept} == kept


def test_a_cluster_finds_the_same_though_one_of_its_workers_dies(profile: Profile, tmp_path: Path) -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        spread, work = slow(profile, tmp_path / "cluster", cluster.scheduler_address), tmp_path
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
        f"assert len(list(Path({str(work)!r}).rglob('*.json'))) < {MIXES.mixes}\n"
        f"os.kill({victim}, signal.SIGKILL)"
    )


def halve(file: Path) -> None:
    """Another number that is as good JSON as the one that was there."""
    text = file.read_text()
    digits = text.index('"throughput_tok_s": ') + len('"throughput_tok_s": ')
    end = text.index(",", digits)
    file.write_text(f"{text[:digits]}{float(text[digits:end]) / 2}{text[end:]}")


def test_what_is_not_as_it_was_kept_is_named_and_simulated_again(
    profile: Profile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = campaign(profile, tmp_path)
    found, file = work.explorations(), work.folder.joinpath
    halve(file("0.json"))
    file("3.json").write_bytes(file("3.json").read_bytes()[:-100])
    shutil.copy(file("5.json"), file("7.json"))
    other = dataclasses.replace(work, seed=1)
    other.explorations()
    shutil.copy(other.folder / "8.json", file("8.json"))
    file("9.json").write_text("")
    sound = {path: path.stat().st_mtime_ns for path in work.folder.iterdir() if path.stem not in "03789"}
    capsys.readouterr()
    assert campaign(profile, tmp_path).explorations() == found
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(": 0.json, 3.json, 7.json, 8.json, 9.json")
    assert len(sound) == MIXES.mixes - 5
    assert {path: path.stat().st_mtime_ns for path in sound} == sound
    assert campaign(profile, tmp_path).explorations() == found
    assert capsys.readouterr().err == ""


def test_a_campaign_begins_anew_when_the_code_of_the_twin_changes(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in PACKAGES:
        shutil.copytree(SOURCES / package, tmp_path / package, ignore=shutil.ignore_patterns("pairs", "__pycache__"))
    monkeypatch.setattr(campaigns, "code_and_libraries", partial(code_and_libraries, sources=tmp_path))
    simulated: list[Settings] = []

    def counted(profile: Profile, server: Settings, workload: Workload, **settings: Any) -> Measures:
        simulated.append(server)
        return law_of_serving(profile, server, workload, **settings)

    def simulations() -> int:
        simulated.clear()
        few = campaign(profile, tmp_path / "work", dataclasses.replace(MIXES, mixes=2))
        dataclasses.replace(few, simulate=counted).explorations()
        return len(simulated)

    first, scheduler = simulations(), tmp_path / "twin/engine/scheduler/scheduler.py"
    assert first > 0
    assert simulations() == 0
    scheduler.write_text(f"# Another comment.\n{scheduler.read_text()}")
    assert simulations() == 0
    scheduler.write_text(f"{scheduler.read_text()}\nANOTHER_RULE = True\n")
    assert simulations() == first


def test_two_builds_do_not_work_in_one_folder(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither where finished mixes are kept nor where the pair is written; the second says so and ends at once."""
    name, zoo, work = profile.pair.name, tmp_path / "zoo", tmp_path / "work"
    (zoo / name).mkdir(parents=True)
    (zoo / name / "profile.toml").write_text(profile.to_toml())
    arguments = ["model_zoo", "build", "--pair", name, "--grid", "small", "--work", str(work), "--zoo", str(zoo)]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(pair, "make", lambda *_, **__: pytest.fail("the build went on"))
    for folder in (zoo / name, campaign(profile, work, GRIDS[GridName.SMALL]).folder):
        with locked(folder), pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        said = capsys.readouterr()
        assert (said.out, said.err) == ("", f"model_zoo: {folder}: another build is at work here; {ADVICE}\n")
        with locked(folder):
            pass  # free again
    assert [path.name for path in (zoo / name).iterdir()] == ["profile.toml"]
    assert not list(work.rglob("*.json"))


def at_every(points: tuple[int, ...]) -> list[tuple[int, int]]:
    """Adapters and slots at the points of a grid."""
    return [(adapters, slots) for adapters in points for slots in points if slots <= adapters]


def test_mixes_of_the_papers_kind_are_also_run_at_points_that_their_limits_do_not_move(
    profile: Profile, tmp_path: Path
) -> None:
    findings = campaign(profile, tmp_path).findings()
    theirs = [each.recipe for each in findings.searched if each.recipe.kind == "papers"]
    assert 0 < len(theirs) < len(findings.searched)
    assert [each.recipe for each in findings.at_points] == theirs
    for each in findings.at_points:
        assert [(run.adapters, run.max_loras) for run in each.runs] == at_every(POINTS)
    assert findings.runs == sum(len(each.runs) for each in (*findings.searched, *findings.at_points))
    held_out = findings.where(is_held_out)
    assert {each.recipe.number for each in held_out.searched} == {4, 9}
    assert [each.recipe for each in held_out.at_points] == [each for each in theirs if is_held_out(each)]


def test_only_under_measured_profiles_are_mixes_run_at_the_papers_points(profile: Profile, tmp_path: Path) -> None:
    """Nobody measured the others, and the points mean nothing on a GPU many times as fast."""
    many = campaign(profile, tmp_path, dataclasses.replace(MIXES, mixes=40))
    drawn = dataclasses.replace(many, profiles=Profiles((profile,), drawn=True))
    theirs = [each for each in drawn.recipes if each.kind == "papers"]
    measured = [each for each in theirs if drawn.profiles.of(each) == profile]
    assert 0 < len(measured) < len(theirs)
    assert [each.recipe for each in drawn.at_points()] == measured


def test_a_grid_that_grows_keeps_what_was_found(profile: Profile, tmp_path: Path) -> None:
    few = dataclasses.replace(campaign(profile, tmp_path), profiles=Profiles((profile,), drawn=True))
    few = dataclasses.replace(few, grid=dataclasses.replace(MIXES, mixes=4))
    more = dataclasses.replace(few, grid=dataclasses.replace(MIXES, mixes=7))
    found = few.explorations()
    kept = {path: (tmp_path / path).stat().st_mtime_ns for path in finished(tmp_path)}
    assert len(kept) == 4
    assert more.folder == few.folder
    assert more.explorations()[:4] == found
    assert len(finished(tmp_path)) == 7
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in kept} == kept
    other = dataclasses.replace(MIXES, slots=(1.0, 3.0))
    assert dataclasses.replace(few, grid=other).folder != few.folder
    assert dataclasses.replace(few, seed=1).folder != few.folder


def test_a_grid_of_points_is_run_at_each_of_them(profile: Profile, tmp_path: Path) -> None:
    grid = Grid(mixes=3, duration_s=3600.0, slots=(), max_adapters=POINTS[-1], adapters=POINTS)
    for each in campaign(profile, tmp_path, grid).explorations():
        assert each.recipe.kind == "papers"
        assert [(run.adapters, run.max_loras) for run in each.runs] == at_every(POINTS)
