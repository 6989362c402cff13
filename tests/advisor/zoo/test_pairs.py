"""The zoo: pairs are found by either name of their model, and altered files are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.zoo import pairs
from advisor.zoo.pairs import Pair
from tests.advisor.small_zoo import NAME


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


def test_a_directory_without_pairs(tmp_path: Path) -> None:
    for zoo in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="no pairs here"):
            pairs.load_all(zoo)


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
        reload(broken).read(file)
    assert ("cannot read" if damage == "missing" else "truncated or altered") in str(error.value)


def test_a_profile_that_fits_its_hash_but_is_none(broken: Path) -> None:
    text = '[pair]\nname = "x"\n'
    manifest = (broken / "manifest.json").read_text()
    old = pairs.hashlib.sha256((broken / "profile.toml").read_bytes()).hexdigest()
    (broken / "profile.toml").write_text(text)
    (broken / "manifest.json").write_text(manifest.replace(old, pairs.hashlib.sha256(text.encode()).hexdigest()))
    with pytest.raises(InputError, match=r"profile\.toml: pair\.model: Field required"):
        _ = reload(broken).profile


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_truncated_manifest_is_refused(broken: Path, keep: int) -> None:
    path = broken / "manifest.json"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"manifest\.json: truncated or altered") as error:
        reload(broken)
    assert "\n" not in str(error.value)
