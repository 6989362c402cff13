"""From a campaign to the files of a pair: complete, sound, and the same bytes however often it was stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from advisor.features.vector import measure, vector
from advisor.zoo.manifest import Manifest
from advisor.zoo.models import load_models
from advisor.zoo.pair import PROFILE, Pair
from advisor.zoo.pairs import named
from advisor.zoo.predictor import PERCENTILES, load_predictor
from model_zoo.__main__ import _pairs, _profile
from model_zoo.campaign.grid import Grid, sample
from model_zoo.campaign.profiles import Profiles, draw
from model_zoo.campaign.runs import OBJECTIVE_NAMES, PUBLISHED, STEADY
from model_zoo.errors import ZooError
from model_zoo.pair import CARD, MANIFEST, SERVING, make, write
from model_zoo.training.export import INPUT
from model_zoo.training.labels import load_limit
from tests.model_zoo.conftest import COMMAND, GRID
from tests.model_zoo.law import TIMES, campaign, law_of_serving
from twin.engine.simulation import Measures, simulate
from twin.profile import Profile


@pytest.fixture(scope="module")
def manifest(files: Mapping[str, bytes]) -> Manifest:
    return Manifest.model_validate_json(files[MANIFEST])


def test_the_manifest_knows_every_file_by_its_hash(files: Mapping[str, bytes], manifest: Manifest) -> None:
    assert manifest.sha256 == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != MANIFEST
    }
    named = {manifest.rules.file, manifest.serving.file}
    figures = {name for name in files if name.endswith(".svg")}
    assert named | figures | {PROFILE, CARD} == set(manifest.sha256)
    assert all(f"]({name})".encode() in files[CARD] for name in figures)
    assert list(files)[-1] == MANIFEST
    assert manifest.workloads == 24
    assert {(tree.objective, tree.output) for tree in manifest.trees} == {
        (name, output) for name in ("steady", "published") for output in ("load_limit", "max_loras")
    }


def test_models_answer_for_mixes_never_seen(files: Mapping[str, bytes], manifest: Manifest, profile: Profile) -> None:
    by_file = {name: onnxruntime.InferenceSession(data) for name, data in files.items() if name.endswith(".onnx")}
    values = measure(sample(200, seed=9)[150].adapters(100), profile, ttft_limit_s=2.0, max_loras=16)
    expected = [*(entry.output for entry in manifest.ensembles), *(entry.objective for entry in manifest.chances)]
    for graph, outputs in ((manifest.rules, [tree.name for tree in manifest.trees]), (manifest.serving, expected)):
        answers = by_file[graph.file].run(outputs, {"features": vector(values, graph.features)})
        assert np.isfinite(answers).all()
    assert all(entry.error for entry in (*manifest.trees, *manifest.ensembles, *manifest.chances))


@pytest.mark.parametrize(
    ("feature", "sign"),
    [("ttft_limit", 1), ("load_share", -1), ("slots_load_share", -1), ("steady_load_share", -1)],
)
def test_more_load_never_makes_it_likelier_nor_a_laxer_limit_less_likely(
    files: Mapping[str, bytes], manifest: Manifest, profile: Profile, feature: str, sign: int
) -> None:
    session, moved = onnxruntime.InferenceSession(files[SERVING]), 0
    for recipe in sample(64, seed=9)[::4]:
        values = measure(recipe.adapters(20), profile, ttft_limit_s=2.0, max_loras=16)
        changed = [{**values, feature: values[feature] * times} for times in np.geomspace(0.05, 20, 40)]
        rows = np.concatenate([vector(each, manifest.serving.features) for each in changed])
        for odds in session.run([*OBJECTIVE_NAMES], {INPUT: rows}):
            assert np.all(sign * np.diff(odds[:, 0]) >= 0)
            moved += np.ptp(odds) > 0
    assert moved


def test_models_of_many_profiles_answer_for_one_never_seen(profile: Profile, tmp_path: Path) -> None:
    drawn = dataclasses.replace(campaign(profile, tmp_path, GRID), profiles=Profiles((profile,), drawn=True))
    files = make(drawn, COMMAND)
    manifest = Manifest.model_validate_json(files[MANIFEST])
    assert (manifest.pair, manifest.model, manifest.gpu, manifest.vllm) == ("", "", "", "")
    assert PROFILE not in files
    assert b"Profiles never seen" in files[CARD]
    write(tmp_path / "common", files)
    pair = Pair(draw(profile, 20_000.0, np.random.default_rng(5)), load_models(tmp_path / "common"))
    for recipe in drawn.recipes:
        values = measure(recipe.adapters(20), pair.profile, ttft_limit_s=2.0, max_loras=4)
        found = load_predictor(pair.models, "steady")(values)
        assert 0 < found.share <= 1
        assert 0 < found.chance < 1
        assert values["step_time"] / 100 < found.itl_ms < 100 * values["step_time"]


def test_percentiles_are_learned_like_means(files: Mapping[str, bytes], manifest: Manifest, tmp_path: Path) -> None:
    folder = tmp_path / manifest.pair
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    pair = named(manifest.pair, tmp_path)
    predict = load_predictor(pair.models, "steady")
    assert predict.margins.keys() >= set(PERCENTILES)
    values = measure(sample(200, seed=9)[150].adapters(100), pair.profile, ttft_limit_s=2.0, max_loras=16)
    found = predict(values)
    assert tuple(found.percentiles) == PERCENTILES
    for name, learned_ms in found.percentiles.items():
        time, statistic, _ = name.split("_")
        mean_ms = found.itl_ms if time == "itl" else found.ttft_ms
        assert learned_ms == pytest.approx(TIMES[statistic] * mean_ms, rel=0.02)  # the law has the same for all times


def test_margins_are_of_times(manifest: Manifest) -> None:
    """Not of what a time is multiplied by, which is tens of ms."""
    for entry in manifest.ensembles:
        assert entry.margin < 10, entry.output


def test_the_load_limit_is_near_the_law(files: Mapping[str, bytes], manifest: Manifest) -> None:
    (steady,) = (tree for tree in manifest.trees if (tree.objective, tree.output) == ("steady", "load_limit"))
    assert steady.error["smape_percent"] < 20
    assert b"one threshold on the total rate" in files[CARD]
    assert b"|--- " in files[CARD]


def test_the_card_judges_every_objective_and_what_is_left_to_chance(files: Mapping[str, bytes]) -> None:
    card = files[CARD].decode()
    for title in ("steady", "latency", "published"):
        assert f"### Adapters and slots together, {title}" in card
    for line in ("by the classifier's best guess |", "by gradient boosting", "by the twin itself with other arrivals"):
        assert card.count(f"… {line}") == 2, "one line of each objective"
    assert "### On the papers' grid, steady" in card


def test_a_stopped_campaign_goes_on_and_ends_with_the_same_bytes(
    profile: Profile, work: Path, files: Mapping[str, bytes], tmp_path: Path
) -> None:
    """Killed after some mixes, with one file half-written."""
    done = sorted(work.rglob("*.json"))
    assert sum("-" not in path.stem for path in done) == GRID.mixes, (
        "with a hash: runs at points, and searches of the judgement"
    )
    for path in done[::2]:
        copy = tmp_path / path.relative_to(work)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    (copy.parent / "1.unfinished").write_text("[[8, 4, {")
    simulated: list[int] = []

    def counting(profile: Profile, *args: object, **settings: object) -> Measures:
        simulated.append(1)
        return law_of_serving(profile, *args, **settings)  # type: ignore[arg-type]

    resumed = dataclasses.replace(campaign(profile, tmp_path, GRID), simulate=counting)
    runs = resumed.findings().runs
    assert 0 < len(simulated) < runs
    assert make(campaign(profile, tmp_path, GRID), COMMAND) == dict(files)


def test_runs_are_kept_apart_by_what_they_depend_on(profile: Profile, tmp_path: Path) -> None:
    grid = dataclasses.replace(GRID, mixes=2)
    faster = profile.model_copy(update={"step": profile.step.model_copy(update={"base_ms": 6.0})})
    campaign(profile, tmp_path, grid).explorations()
    campaign(faster, tmp_path, grid).explorations()
    campaign(profile, tmp_path, dataclasses.replace(grid, duration_s=60.0)).explorations()
    assert len(list((tmp_path / profile.pair.name).iterdir())) == 3


def test_too_few_mixes_are_refused_in_one_line(profile: Profile, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="needs more mixes"):
        make(campaign(profile, tmp_path, dataclasses.replace(GRID, mixes=1, max_adapters=1)), COMMAND)


def test_the_published_rule_never_admits_fewer(profile: Profile, work: Path) -> None:
    for each in campaign(profile, work, GRID).explorations():
        assert load_limit(each.runs, PUBLISHED).adapters >= load_limit(each.runs, STEADY).adapters


@pytest.mark.parametrize("manifest", ['{"sha256": {"steady.onnx": "", "card.md": "", "rules.txt": ""}}', "{", ""])
def test_only_what_a_former_build_made_goes_when_a_pair_is_replaced(
    files: Mapping[str, bytes], tmp_path: Path, manifest: str
) -> None:
    """Whatever its format, and whether or not its manifest can be read."""
    (tmp_path / "notes.txt").write_text("mine")
    for name in ("steady.onnx", "depth.svg", "old.onnx.unfinished"):
        (tmp_path / name).write_text("old")
    (tmp_path / MANIFEST).write_text(manifest)
    if "rules.txt" in manifest:
        (tmp_path / "rules.txt").write_text("of a former build")
    assert set(write(tmp_path, files)) - {"rules.txt"} == {"old.onnx.unfinished", "depth.svg", "steady.onnx"}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {**files, "notes.txt": b"mine"}


def test_the_command_line_refuses_what_is_not_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "model_zoo", "build", "--pair", "no-such--pair", "-o", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "no pair no-such--pair; there are llama-3.1-8b-instruct--h100-64gb" in done.stderr


def test_more_mixes_than_a_grid_has_are_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "model_zoo", "build", "--grid", "small", "--mixes", "97", "-o", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "model_zoo: --mixes 97: the grid small has 96\n"


def test_a_zoo_of_ones_own_is_built_without_the_shipped_pairs(profile: Profile, tmp_path: Path) -> None:
    assert _pairs(tmp_path) == ["llama-3.1-8b-instruct--h100-64gb", "qwen2.5-7b-instruct--h100-64gb"]
    (tmp_path / profile.pair.name).mkdir()
    (tmp_path / profile.pair.name / PROFILE).write_text(profile.to_toml())
    assert _pairs(tmp_path) == [profile.pair.name]
    with pytest.raises(ZooError, match=f"there are llama-3.1-8b-instruct--h100-64gb, .*, {profile.pair.name}"):
        _profile(tmp_path, "no-such--pair")


def test_the_twin_itself_makes_a_pair(profile: Profile, tmp_path: Path) -> None:
    """Small, but the real simulation in real processes."""
    grid = Grid(mixes=10, duration_s=100.0, slots=(1.0, 2.0), max_adapters=16)
    one = dataclasses.replace(campaign(profile, tmp_path / "1", grid), simulate=simulate)
    two = dataclasses.replace(one, work=tmp_path / "2", jobs=2)
    made = [make(each, COMMAND) for each in (one, two)]
    assert made[0] == made[1]
    assert json.loads(made[0][MANIFEST])["simulations"] > 0
