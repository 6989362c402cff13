"""`check-schedule` tells whether the twin decides as a vLLM: yes or no, and the first step that differs.

A stand-in for the Python that has vLLM hands out recordings of real ones, as they are or with a step that was altered.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from calibrate.recording.recordings import Recordings, encode, read

RECORDED = Path(__file__).parents[1] / "twin" / "engine" / "recordings"
WORKLOADS = 2


def few(name: str, vllm: str = "0.33.0") -> Recordings:
    recordings = read(RECORDED / name)
    return recordings.model_copy(update={"recordings": recordings.recordings[:WORKLOADS], "vllm": vllm})


def altered(recordings: Recordings, step: int) -> Recordings:
    first, *others = recordings.recordings
    steps = list(first.steps)
    steps[step] = steps[step].model_copy(update={"blocks": steps[step].blocks + 1})
    changed = first.model_copy(update={"steps": tuple(steps)})
    return recordings.model_copy(update={"recordings": (changed, *others)})


def check(folder: Path, recorded: dict[str, Recordings], *arguments: str) -> subprocess.CompletedProcess[str]:
    given, python = folder / "given", folder / "python"
    given.mkdir()
    for kind, recordings in recorded.items():
        (given / f"{kind}.json.xz").write_bytes(encode(recordings))
    python.write_text(f'#!/bin/sh\ncp "{given}"/* "$3"\n')
    python.chmod(0o755)
    command = [sys.executable, "-m", "calibrate", "check-schedule", "--python", str(python), *arguments]
    interpreted = os.environ | {"NUMBA_DISABLE_JIT": "1"}  # compiling takes longer than so few steps
    return subprocess.run(command, env=interpreted, capture_output=True, text=True, check=False)


def test_yes(tmp_path: Path) -> None:
    recorded = {"async": few("vllm-0.33.0-async.json.xz"), "sync, prefix caching": few("vllm-0.33.0-prefix.json.xz")}
    done = check(tmp_path, recorded)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "yes: the twin decides as vLLM 0.33.0"
    assert "sync, prefix caching: as vLLM 0.33.0 in all " in done.stdout


def test_no_and_which_step(tmp_path: Path) -> None:
    done = check(tmp_path, {"async": altered(few("vllm-0.33.0-async.json.xz", "0.34.0"), 7)})
    assert done.returncode == 1
    assert f"async: otherwise in 1 of {WORKLOADS} workloads" in done.stdout
    assert ": step 7: the twin decides {" in done.stdout
    assert done.stdout.splitlines()[-1] == "no: the twin does not decide as vLLM 0.34.0"


def test_it_says_which_known_version_decides_so(tmp_path: Path) -> None:
    recordings = read(RECORDED / "vllm-0.24.0-async.json.xz")
    done = check(tmp_path, {"async": recordings.model_copy(update={"vllm": "0.34.0"})})
    assert done.returncode == 1
    assert "the twin decides all of them so as for 0.24.0\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--python", "missing"), "missing: cannot be run: No such file or directory"),
        (("--vllm", "no.whl"), "no.whl: neither a folder nor a wheel that can be read"),
        (("--vllm", "."), ".: no package vllm in it"),
        (("--python", "true"), "recording with true left nothing behind; it must be a Python"),
        (("--python", "false"), "recording with false failed: exit code 1"),
    ],
)
def test_what_cannot_be_recorded_is_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = check(tmp_path, {}, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"calibrate: {message}")
    assert done.stderr.count("\n") == 1


def test_a_version_that_the_twin_does_not_know(tmp_path: Path) -> None:
    done = check(tmp_path, {"sync": few("vllm-0.8.5.json.xz", "0.7.3")})
    assert done.returncode == 2
    assert "vLLM 0.7.3 is older than 0.8.5" in done.stderr
