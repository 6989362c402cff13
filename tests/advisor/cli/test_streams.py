"""Streams that are closed, full or left early, and interrupts: what the exit code then says."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.advisor import inventories
from tests.advisor.cli.test_cli import COMMAND
from tests.advisor.inventories import PLAIN

Done = subprocess.CompletedProcess[str]


def shell(line: str, *words: str | Path) -> Done:
    """A line of bash in which "$@" is the command with these words."""
    script = ["bash", "-c", line, "bash", COMMAND, *words]
    return subprocess.run(script, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def good(zoo: Path, tmp_path: Path) -> tuple[str | Path, ...]:
    return ("recommend", inventories.write(tmp_path), "--zoo", zoo)


@pytest.mark.parametrize("words", [("pairs",), ("explain", "tiny-1b--test-gpu", "--format", "json"), ("--help",)])
def test_a_reader_who_leaves_early_is_no_error(zoo: Path, words: tuple[str, ...]) -> None:
    # The reader is gone before the first byte comes, so every write fails.
    words = (*words, *(["--zoo", str(zoo)] if words[0] != "--help" else []))
    done = shell('(sleep 0.1; exec "$@") | true; echo ${PIPESTATUS[0]}', *words)
    assert (done.stdout, done.stderr) == (f"{128 + signal.SIGPIPE}\n", "")


def test_a_closed_stdout(good: tuple[str | Path, ...]) -> None:
    for words in (good, ("--version",)):
        done = shell('"$@" >&-', *words)
        assert (done.returncode, done.stderr) == (2, "advisor: cannot write the answer: stdout is closed\n")


def test_a_full_disk(good: tuple[str | Path, ...]) -> None:
    for words in (good, (*good, "--format", "json"), ("--version",)):
        done = shell('"$@" >/dev/full', *words)
        assert (done.returncode, done.stderr) == (2, "advisor: cannot write the answer: No space left on device\n")
    done = shell('"$@" >/dev/full', "--help")
    assert done.returncode == 2
    assert done.stderr.startswith("advisor: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-", "2> >(exec true)"])
def test_notes_that_nobody_can_read_change_no_exit_code(
    good: tuple[str | Path, ...], tmp_path: Path, stderr: str
) -> None:
    assert shell(f'"$@" {stderr}', "recommend", "missing.toml").returncode == 2
    assert shell(f'"$@" {stderr}', "--fly").returncode == 2
    inventories.write(tmp_path, PLAIN.replace("rate = 0.1", "rate = 900"))
    done = shell(f'"$@" {stderr}; "$@" --strict {stderr}', *good, "--format", "args")
    assert (done.returncode, done.stdout) == (1, "\n\n")


def test_an_interrupt(good: tuple[str | Path, ...], tmp_path: Path) -> None:
    path = tmp_path / "inventory.toml"
    path.unlink()
    os.mkfifo(path)  # the command waits for a writer, so that there is time to interrupt it
    with subprocess.Popen([COMMAND, *good], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        writer = path.open("w")  # returns once the command reads
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        writer.close()
    assert (process.returncode, out, err) == (130, "", "")
