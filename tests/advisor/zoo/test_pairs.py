"""The zoo: pairs are found by either name of their model, and altered files are refused."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.errors import InputError
from advisor.features.vector import measure
from advisor.zoo import pairs
from advisor.zoo.graph import load_graph
from advisor.zoo.models import common_models
from advisor.zoo.pairs import Pair
from advisor.zoo.predictor import load_predictor
from tests.advisor.small_zoo import NAME, profile, random_mix


@pytest.mark.parametrize("model", ["example/Tiny-1B", "EXAMPLE/tiny-1b", "tiny-1b", "Tiny-1B", NAME])
@pytest.mark.parametrize("gpu", ["test-gpu", "TEST-GPU"])
def test_find(zoo: Path, model: str, gpu: str) -> None:
    assert pairs.find_pair(model, gpu, zoo).name == NAME


def test_unknown_pairs_are_refused_with_those_there_are(zoo: Path) -> None:
    with pytest.raises(InputError, match=r"no pair for model 'exampl/Tiny-1B'; did you mean 'example/Tiny-1B'\?"):
        pairs.find_pair("exampl/Tiny-1B", "test-gpu", zoo)
    with pytest.raises(InputError, match="no pair for GPU 'a100' with model 'tiny-1b'; known GPUs: test-gpu"):
        pairs.find_pair("tiny-1b", "a100", zoo)
    with pytest.raises(InputError, match=f"no pair 'x'; known pairs: {NAME}"):
        pairs.named("x", zoo)


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama"),
        ("META-LLAMA/META-LLAMA-3.1-8B-INSTRUCT", "llama"),
        ("Meta-Llama-3.1-8B-Instruct", "llama"),
        ("Llama-3.1-8B-Instruct", "llama"),
        ("llama-3.1-8b-instruct", "llama"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen"),
        ("Qwen2.5-7B-Instruct", "qwen"),
        ("qwen/qwen2.5-7b-instruct", "qwen"),
        ("meta-llama/Llama-3.1-8B", None),
        ("meta-llama/Llama-3.1-70B-Instruct", None),
        ("meta-llama/Llama-3-8B-Instruct", None),
        ("Llama-3.1-8B-Instruct-AWQ", None),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8", None),
        ("somebody/Llama-3.1-8B-Instruct", None),
        ("Qwen/Qwen2.5-7B", None),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", None),
    ],
)
def test_names_of_the_shipped_models_as_people_write_them(model: str, known: str | None) -> None:
    if known:
        assert pairs.find_pair(model, "H100-64GB").name.startswith(known)
    else:
        with pytest.raises(InputError) as error:
            pairs.find_pair(model, "h100-64gb")
        assert "known models: Qwen/Qwen2.5-7B-Instruct, meta-llama/Llama-3.1-8B-Instruct" in str(error.value)


@pytest.mark.parametrize(
    ("model", "gpu", "hint"),
    [
        ("meta-llama/Llama-3.1-70B-Instruct", "h100-64gb", None),
        ("meta-llama/Llama-3.1-8B", "h100-64gb", None),
        ("Llama-3.1-8B-Instruct-AWQ", "h100-64gb", None),
        ("Lama-3.1-8B-Instruct", "h100-64gb", "meta-llama/Llama-3.1-8B-Instruct"),
        ("Llama3.1-8B-Instruct", "h100-64gb", "meta-llama/Llama-3.1-8B-Instruct"),
        ("Llama-3.1-8B-Instruct", "H100 80GB", None),
        ("Llama-3.1-8B-Instruct", "a100-64gb", None),
        ("Llama-3.1-8B-Instruct", "H100 64GB", "h100-64gb"),
        ("Llama-3.1-8B-Instruct", "", None),
    ],
)
def test_only_a_misspelling_is_taken_for_one(model: str, gpu: str, hint: str | None) -> None:
    with pytest.raises(InputError, match=r"known (models|GPUs): ") as error:
        pairs.find_pair(model, gpu)
    assert ("did you mean" in str(error.value)) == bool(hint)
    assert f"did you mean {hint!r}?" in str(error.value) or not hint


def test_a_directory_without_pairs(tmp_path: Path) -> None:
    for zoo in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="no pairs here"):
            pairs.load_zoo(zoo)


@pytest.fixture
def broken(zoo: Path, tmp_path: Path) -> Path:
    """A copy of the pair's directory to break something in."""
    return Path(shutil.copytree(zoo / NAME, tmp_path / NAME))


def reload(directory: Path) -> Pair:
    return pairs.named(NAME, directory.parent)


@pytest.mark.parametrize("file", ["rules.onnx", "profile.toml"])
@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_damaged_files_are_refused(broken: Path, file: str, damage: str) -> None:
    path = broken / file
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "truncated" else data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match=file) as error:
        reload(broken).models.read(file)
    assert ("cannot read" if damage == "missing" else "truncated or altered") in str(error.value)


def test_a_profile_that_fits_its_hash_but_is_none(broken: Path) -> None:
    text = '[pair]\nname = "x"\n'
    manifest = (broken / "manifest.json").read_text()
    old = hashlib.sha256((broken / "profile.toml").read_bytes()).hexdigest()
    (broken / "profile.toml").write_text(text)
    (broken / "manifest.json").write_text(manifest.replace(old, hashlib.sha256(text.encode()).hexdigest()))
    with pytest.raises(InputError, match=r"profile\.toml: pair\.model: Field required"):
        reload(broken)


def test_the_bytes_that_were_hashed_are_those_that_are_read(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, whole = [], pairs.parse_profile
    monkeypatch.setattr(pairs, "parse_profile", lambda data, where: read.append((data, where)) or whole(data, where))
    reload(broken)
    assert read == [((broken / "profile.toml").read_bytes(), str(broken / "profile.toml"))]


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_truncated_manifest_is_refused(broken: Path, keep: int) -> None:
    path = broken / "manifest.json"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"manifest\.json: truncated or altered") as error:
        reload(broken)
    assert "\n" not in str(error.value)


def damaged(broken: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The manifest, changed."""
    path = broken / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda it: it["rules"]["features"].append("phase_of_the_moon"),
            "'phase_of_the_moon' is no feature of this ver",
        ),
        (lambda it: it["trees"][0].update(times="moon"), "trees.0.times"),
        (lambda it: it["range"].update(moon=[0, 1]), "'moon' is no feature"),
        (lambda it: it["range"].update(rate=[0, math.inf]), "finite"),
        (lambda it: it["chances"][0].update(required=math.nan), "finite"),
        (lambda it: it["ensembles"][0]["error"].update(x=-math.inf), "finite"),
    ],
)
def test_a_manifest_that_makes_no_sense(broken: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    path = damaged(broken, change)
    with pytest.raises(InputError) as error:
        reload(broken)
    assert str(error.value).startswith(f"{path}: truncated or altered: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[" * 100_000, "\udcff", "{}", "null", "NaN"])
def test_what_is_no_manifest(broken: Path, text: str) -> None:
    (broken / "manifest.json").write_text(text, errors="surrogateescape")
    with pytest.raises(InputError, match=r"manifest\.json: truncated or altered"):
        reload(broken)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it["serving"]["features"].pop(),
        lambda it: it.update(serving=it["rules"]),
    ],
)
def test_a_graph_that_is_not_what_the_manifest_says(broken: Path, change: Callable[[dict[str, Any]], None]) -> None:
    damaged(broken, change)
    pair = reload(broken)
    values = measure(random_mix(np.random.default_rng(0)), pair.profile, ttft_limit_s=2.0, max_loras=8)
    with pytest.raises(InputError, match="does not answer as its manifest says"):
        load_predictor(pair.models, "steady")(values, pair.profile.front_end)


def test_a_broken_pair_leaves_the_others_in_peace(zoo: Path, tmp_path: Path) -> None:
    shutil.copytree(zoo, tmp_path / "zoo")
    other = Path(shutil.copytree(zoo / NAME, tmp_path / "zoo" / "another"))
    (other / "manifest.json").write_text("{}")
    assert pairs.find_pair("tiny-1b", "test-gpu", tmp_path / "zoo").name == NAME
    there = pairs.load_zoo(tmp_path / "zoo")
    assert [pair.name for pair in there.pairs] == [NAME]
    assert [message.startswith(str(other / "manifest.json")) for message in there.broken] == [True]
    with pytest.raises(InputError, match=f"known models: example/Tiny-1B; not readable: {other}"):
        pairs.find_pair("tiny-2b", "test-gpu", tmp_path / "zoo")


def test_a_profile_without_models_of_its_own_is_answered_by_those_for_any(tmp_path: Path) -> None:
    for name in ("one--gpu", "two--gpu"):
        (tmp_path / name).mkdir()
        text = profile().to_toml().replace(NAME, name)
        (tmp_path / name / "profile.toml").write_text(text)
    one, two = pairs.load_zoo(tmp_path).pairs
    assert (one.name, two.name) == ("one--gpu", "two--gpu")
    assert one.models is two.models is common_models()
    assert load_graph(one.models, "serving") is load_graph(two.models, "serving")
    assert (one.model, one.gpu, one.vllm) == ("example/Tiny-1B", "test-gpu", "0.8.5")


def test_a_profile_alone_that_is_none(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "profile.toml").write_text("[pair]")
    with pytest.raises(InputError, match=r"profile\.toml: pair\.name: Field required"):
        pairs.load_zoo(tmp_path)


def test_names_are_those_of_the_profile_whatever_the_manifest_says(broken: Path) -> None:
    damaged(broken, lambda it: [it.pop(key) for key in ("pair", "model", "gpu", "vllm")])
    pair = reload(broken)
    assert (pair.name, pair.model, pair.gpu, pair.vllm) == (NAME, "example/Tiny-1B", "test-gpu", "0.8.5")
