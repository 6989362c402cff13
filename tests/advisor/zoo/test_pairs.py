"""The zoo: pairs are found by either name of their model, and altered files are refused."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.derive.engine import Engine
from advisor.errors import InputError
from advisor.features.vector import measure
from advisor.zoo import pair as reading
from advisor.zoo import pairs
from advisor.zoo.graph import load_graph
from advisor.zoo.models import common_models
from advisor.zoo.pair import Pair
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
    ("model", "found"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "measured"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "measured"),
        ("META-LLAMA/META-LLAMA-3.1-8B-INSTRUCT", "measured"),
        ("Meta-Llama-3.1-8B-Instruct", "measured"),
        ("Llama-3.1-8B-Instruct", "measured"),
        ("llama-3.1-8b-instruct", "measured"),
        ("Qwen/Qwen2.5-7B-Instruct", "measured"),
        ("Qwen2.5-7B-Instruct", "measured"),
        ("qwen/qwen2.5-7b-instruct", "measured"),
        ("meta-llama/Llama-3.1-8B", "derived"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "derived"),
        ("Llama-3.1-8B-Instruct-AWQ", "derived"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8", "derived"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "derived"),
        ("meta-llama/Llama-3.1-70B-Instruct", "131.4 GiB of weights do not fit"),
        ("somebody/Llama-3.1-8B-Instruct", "did you mean 'meta-llama/Llama-3.1-8B-Instruct'?"),
        ("Qwen/Qwen2.5-7B", "near are Qwen/Qwen2.5-7B-Instruct"),
        ("qwen-7b", "near are Qwen/Qwen2.5-7B-Instruct"),
        ("llama3-8b", "near are meta-llama/Meta-Llama-3-8B-Instruct"),
    ],
)
def test_names_of_models_as_people_write_them(model: str, found: str) -> None:
    """What was measured is no answer for another size, a quantised variant, or base instead of instruct."""
    if found in ("measured", "derived"):
        pair = pairs.find_pair(model, "H100-64GB")
        assert pair.serves(model)
        assert pair.basis.measured.startswith("derived") == (found == "derived")
    else:
        with pytest.raises(InputError, match=re.escape(found)):
            pairs.find_pair(model, "h100-64gb")


@pytest.mark.parametrize(
    ("model", "gpu", "hint"),
    [
        ("Lama-3.1-8B-Instruct", "h100-64gb", "did you mean 'meta-llama/Llama-3.1-8B-Instruct'?"),
        ("Llama3.1-8B-Instruct", "h100-64gb", "did you mean 'meta-llama/Llama-3.1-8B-Instruct'?"),
        ("nobody/knows-this", "h100-64gb", "in the catalogue; any other is derived from its config.json: model_config"),
        ("Llama-3.1-8B-Instruct", "a100-64gb", "did you mean 'a100-40gb', 'a100-80gb' or 'h100-64gb'?"),
        ("Llama-3.1-8B-Instruct", "RTX 2080", "in the catalogue; known GPUs: a100-40gb, "),
        ("Llama-3.1-8B-Instruct", "", "table [gpu]"),
    ],
)
def test_what_nobody_knows_is_refused_with_the_nearest_and_the_way_out(model: str, gpu: str, hint: str) -> None:
    with pytest.raises(InputError, match=re.escape(hint)) as error:
        pairs.find_pair(model, gpu)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("A100", "a100-80gb"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA H100 80GB HBM3", "h100-80gb"),
        ("H100 64GB", "h100-64gb"),
        ("H100 PCIe", "h100-pcie"),
        ("nvidia-l4", "l4"),
        ("NVIDIA L40S", "l40s"),
        ("H200-141GB", "h200"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000"),
        ("AMD Instinct MI300X", "mi300x"),
        ("NVIDIA GeForce RTX 3090", "rtx-3090"),
        ("4090", "rtx-4090"),
        ("A6000", "rtx-a6000"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
        ("NVIDIA A10", "a10"),
        ("NVIDIA A10G", "a10g"),
    ],
)
def test_names_of_gpus_as_people_write_them(written: str, meant: str) -> None:
    assert pairs.find_pair("meta-llama/Llama-3.2-3B-Instruct", written).gpu == meant


def test_a_name_that_several_gpus_have_is_told_how_it_was_understood() -> None:
    (note,) = pairs.find_pair("meta-llama/Llama-3.2-3B-Instruct", "A100").notes
    assert note == "GPU A100 is taken as a100-80gb; there is a100-40gb as well"
    (note,) = pairs.find_pair("meta-llama/Llama-3.2-3B-Instruct", "H100").notes
    assert note == "GPU H100 is taken as h100-80gb; there are h100-64gb, h100-pcie and h100-nvl as well"


def test_measured_beats_derived_and_is_of_the_version_that_is_asked_for() -> None:
    llama = ("meta-llama/Llama-3.1-8B-Instruct", "h100-64gb", None)
    plain = Engine(tensor_parallel=1, kv_cache_dtype="auto")
    for engine in (Engine(), Engine(vllm="0.8.4"), Engine(vllm="0.8"), plain):
        assert pairs.find_pair(*llama, engine).profile.derivation is None
    current = pairs.find_pair(*llama, Engine(vllm="0.33"))
    assert current.profile.derivation is not None and current.vllm == "0.33"
    for engine in (Engine(tensor_parallel=2), Engine(quantization="fp8"), Engine(kv_cache_dtype="fp8")):
        assert pairs.find_pair(*llama, engine).profile.derivation is not None


def test_what_vllm_has_to_be_told_beside_its_settings() -> None:
    engine = Engine(tensor_parallel=4, quantization="fp8", kv_cache_dtype="fp8")
    pair = pairs.find_pair("Llama-3.3-70B-Instruct", "H100", None, engine)
    assert pair.model == "meta-llama/Llama-3.3-70B-Instruct" and pair.gpus == 4
    assert pair.flags == {"tensor_parallel_size": 4, "quantization": "fp8", "kv_cache_dtype": "fp8"}
    packed = pairs.find_pair("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "L4")
    assert packed.model == "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4" and packed.flags == {}
    assert packed.profile.derivation and packed.profile.derivation.weights == "int4"


def test_a_derived_profile_in_a_zoo_answers_for_the_servers_that_it_is_of(tmp_path: Path) -> None:
    made = pairs.find_pair("Qwen/Qwen3-8B", "l40s", None, Engine(tensor_parallel=2))
    (tmp_path / made.name).mkdir()
    text = made.profile.to_toml().replace('command = "advisor"', 'command = "by hand"')
    (tmp_path / made.name / "profile.toml").write_text(text)
    found = pairs.find_pair("Qwen/Qwen3-8B", "l40s", tmp_path, Engine(tensor_parallel=2))
    assert found.profile.command == "by hand" and found.flags == {"tensor_parallel_size": 2}
    assert pairs.find_pair("Qwen/Qwen3-8B", "l40s", tmp_path, Engine(tensor_parallel=1)).profile.command == "advisor"


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
    read, whole = [], reading.parse_profile
    monkeypatch.setattr(reading, "parse_profile", lambda data, where: read.append((data, where)) or whole(data, where))
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
        load_predictor(pair.models, "steady")(values)


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
