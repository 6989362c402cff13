"""Does the twin decide as a vLLM that it may not know? Records what that decides, and compares."""

from __future__ import annotations

import os
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from calibrate.errors import CalibrationError
from calibrate.recording.comparison import FastTwin, ReferenceTwin, behaviour_in, differences
from calibrate.recording.recordings import Recordings, read
from twin.behaviour import VERSIONS

ROOT = Path(__file__).parents[2]
"""Where our packages are: another Python imports them from here."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The twin beside the recordings of one kind: sync or async, without or with prefix caching."""

    kind: str
    workloads: int
    steps: int
    differing: tuple[str, ...]
    """Workloads with the first step that differs, in either twin."""
    like: tuple[str, ...] = ()
    """Known versions that decide all the recorded steps in the same way, where the twin does not."""


def record_with(python: Path, vllm: Path | None, cases: int, seed: int) -> dict[str, Recordings]:
    """What the scheduler of a vLLM decides, by kind; `vllm` is a wheel, or a folder with the package, or None.

    Raises:
        CalibrationError: there is no vLLM, or it cannot be recorded.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = [str(ROOT)] if vllm is None else [str(_package(vllm, folder)), str(ROOT)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        command = [str(python), "-m", "calibrate.recording", scratch, str(cases), str(seed)]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        except OSError as error:
            raise CalibrationError(f"{python}: cannot be run: {error.strerror}") from error
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise CalibrationError(f"recording with {python} failed: {said[-1]}")
        recorded = {path.name.removesuffix(".json.xz"): read(path) for path in sorted(folder.glob("*.json.xz"))}
    if not recorded:  # whatever ran, and went well, was no Python
        raise CalibrationError(f"recording with {python} left nothing behind; it must be a Python")
    return recorded


def compare(recorded: dict[str, Recordings]) -> list[Verdict]:
    """Both twins beside what was recorded.

    Raises:
        CalibrationError: the version is older than any that the twin knows.
    """
    return [_verdict(kind, recordings) for kind, recordings in recorded.items()]


def _verdict(kind: str, recordings: Recordings) -> Verdict:
    try:
        behaviour = behaviour_in(recordings)
    except ValueError as error:
        raise CalibrationError(str(error)) from error
    found = tuple(differences(recordings, behaviour, ReferenceTwin)) or tuple(
        differences(recordings, behaviour, FastTwin)
    )
    return Verdict(
        kind=kind,
        workloads=len(recordings.recordings),
        steps=sum(len(one.steps) for one in recordings.recordings),
        differing=found,
        like=tuple(_alike(recordings)) if found else (),
    )


def _alike(recordings: Recordings) -> Iterable[str]:
    for version, behaviour in VERSIONS.items():
        same = behaviour.model_copy(update={"async_scheduling": recordings.async_scheduling})
        if not any(differences(recordings, same, ReferenceTwin)):
            yield version


def _package(vllm: Path, scratch: Path) -> Path:
    """The folder that holds the package `vllm`; a wheel's Python is unpacked into `scratch`."""
    if vllm.is_dir():
        found = vllm
    else:
        found = scratch / "wheel"
        try:
            with zipfile.ZipFile(vllm) as wheel:
                wheel.extractall(found, [name for name in wheel.namelist() if _wanted(name)])
        except (OSError, zipfile.BadZipFile) as error:
            raise CalibrationError(f"{vllm}: neither a folder nor a wheel that can be read: {error}") from error
    if not (found / "vllm" / "__init__.py").is_file():
        raise CalibrationError(f"{vllm}: no package vllm in it")
    return found


def _wanted(name: str) -> bool:
    """Whether a file of a wheel is needed: kernels are hundreds of MB, and no scheduler imports them."""
    return name.endswith((".py", ".json", ".txt")) or ".dist-info/" in name


def report(vllm: str, verdicts: list[Verdict]) -> str:
    """Yes or no, and where it is no, the first step that differs."""
    lines = []
    for one in verdicts:
        if not one.differing:
            lines.append(f"{one.kind}: as vLLM {vllm} in all {one.steps:,} steps of {one.workloads} workloads")
            continue
        lines.append(f"{one.kind}: otherwise in {len(one.differing)} of {one.workloads} workloads")
        lines.append(f"    first: {one.differing[0]}")
        if one.like:
            lines.append(f"    the twin decides all of them so as for {', '.join(one.like)}")
    no = any(one.differing for one in verdicts)
    lines.append(f"no: the twin does not decide as vLLM {vllm}" if no else f"yes: the twin decides as vLLM {vllm}")
    return "\n".join(lines)
