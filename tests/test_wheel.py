"""The wheel holds the shipped pairs and templates, and answers from a directory that is not the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

import advisor

ROOT = Path(__file__).parent.parent
PAIRS = ("llama-3.1-8b-instruct--h100-64gb", "qwen2.5-7b-instruct--h100-64gb")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the unpacked wheel, built from the source distribution, as an installer would leave it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, cwd=folder)
    (source,) = folder.glob("adapter_advisor-*.tar.gz")
    with tarfile.open(source) as archive:
        names = {Path(*Path(name).parts[1:]).as_posix() for name in archive.getnames()}
    assert {"LICENSE", "CHANGELOG.md", "README.md", "advisor/templates/serve.sh.j2"} <= names
    assert not any(name.startswith(("tests", "templates")) for name in names)
    (wheel,) = folder.glob("adapter_advisor-*.whl")
    ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_its_packages_are_the_four_of_the_project(site: Path) -> None:
    (info,) = site.glob("*.dist-info")
    packages = {"advisor", "twin", "calibrate", "model_zoo"}
    assert {path.name for path in site.iterdir()} == {*packages, info.name}
    assert (info / "top_level.txt").read_text().split() == sorted(packages)
    assert all((site / package / "py.typed").is_file() for package in packages)
    assert "Apache License" in (info / "licenses" / "LICENSE").read_text()
    assert f"Version: {advisor.__version__}\n" in (info / "METADATA").read_text()


def test_it_holds_pairs_and_templates(site: Path) -> None:
    for pair in PAIRS:
        shipped = {path.name for path in (site / "model_zoo" / "pairs" / pair).iterdir()}
        assert "profile.toml" in shipped
    common = {path.name for path in (site / "model_zoo" / "common").iterdir()}
    assert {"manifest.json", "rules.onnx", "serving.onnx", "card.md"} <= common
    folder = ROOT / "templates"
    files = [*folder.glob("*.py"), *folder.rglob("*.j2")]
    ours = {str(path.relative_to(folder)): path.read_text() for path in files}
    assert {name: (site / "advisor" / "templates" / name).read_text() for name in ours} == ours


def test_it_recommends_elsewhere(site: Path, tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.toml"
    inventory.write_text((ROOT / "examples" / "inventory.toml").read_text())
    script = (
        "import sys, advisor.cli.main as cli; print(cli.__file__, file=sys.stderr); sys.argv[0] = 'advisor'; cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "recommend", str(inventory), "--format", "json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(site) in done.stderr
    assert json.loads(done.stdout)["feasible"] is True
