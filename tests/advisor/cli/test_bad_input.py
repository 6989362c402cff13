"""Inventories and pairs that cannot be read are refused in one line, whatever is wrong with them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.advisor import inventories
from tests.advisor.cli.command import COMMAND, Run, check_refused
from tests.advisor.inventories import PLAIN
from tests.advisor.small_zoo import NAME

BAD = {
    "broken TOML": PLAIN.replace("[lengths]", "[lengths"),
    "unknown key": PLAIN.replace("rank = 8", "rnk = 8"),
    "no room for the rank": PLAIN.replace("rank = 8", "rank = 513"),
    "negative rate": PLAIN.replace("0.1", "-0.1"),
    "absurd rate": PLAIN.replace("0.1", "1e12"),
    "duplicate name": PLAIN.replace('"tenant"', '"sql-0"'),
    "unknown model": PLAIN.replace("Tiny-1B", "Tiny-2B"),
    "unknown GPU": PLAIN.replace("test-gpu", "b200"),
    "empty inventory": PLAIN[: PLAIN.index("[[adapters]]")],
    "empty file": "",
    "not text": "\udcff",
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input(run: Run, tmp_path: Path, what: str) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text(BAD[what], errors="surrogateescape")
    check_refused(run("recommend", path), tmp_path)


@pytest.mark.parametrize("command", [("render", "-t", "serve", "-o", "out"), ("simulate",)])
def test_bad_input_of_other_commands(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    check_refused(run(*command, inventories.write(tmp_path, BAD["absurd rate"])), tmp_path)


@pytest.mark.parametrize("file", ["missing.toml", ".", "", "/dev/zero"])
def test_no_such_inventory(run: Run, tmp_path: Path, file: str) -> None:
    check_refused(run("recommend", file), tmp_path)


def test_an_inventory_from_the_standard_input(run: Run, zoo: Path, tmp_path: Path) -> None:
    path, words = inventories.write(tmp_path), f"{COMMAND} recommend - --format args --zoo {zoo}"
    for source, code, output in ((f"< {path}", 0, run("recommend", path, "--format", "args").stdout), ("<&-", 2, "")):
        done = subprocess.run(["sh", "-c", f"{words} {source}"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (code, output)
        assert done.stderr.count("\n") == (code == 2)


@pytest.mark.parametrize("file", ["rules.onnx", "serving.onnx", "profile.toml", "manifest.json"])
def test_truncated_files_of_the_pair(run: Run, zoo: Path, tmp_path: Path, file: str) -> None:
    shutil.copytree(zoo, tmp_path / "zoo")
    path = tmp_path / "zoo" / NAME / file
    path.write_bytes(path.read_bytes()[:-9])
    done = run("recommend", inventories.write(tmp_path), zoo=tmp_path / "zoo")
    shutil.rmtree(tmp_path / "zoo")
    check_refused(done, tmp_path)
    assert file in done.stderr
