"""Streams that are closed, full or left early, and interrupts: what the exit code then says."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import termios
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.advisor import inventories
from tests.advisor.cli.command import COMMAND
from tests.advisor.deploy.write.test_render import ENDLESS
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


def test_a_closed_stdin(zoo: Path) -> None:
    done = shell('"$@" <&-', "recommend", "-", "--zoo", zoo)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "advisor: -: the standard input is closed; an inventory is a TOML file\n"


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
    inventories.write(tmp_path, PLAIN.replace("rate = 0.1", "rate = 900").replace("rate = 0.025", "rate = 900"))
    done = shell(f'"$@" {stderr}; "$@" --strict {stderr}', *good, "--format", "args")
    assert (done.returncode, done.stdout) == (1, "\n\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_nothing_behind(zoo: Path, tmp_path: Path, number: int, code: int) -> None:
    path, template = inventories.write(tmp_path), tmp_path / "endless.j2"
    template.write_text(ENDLESS)
    words = [COMMAND, "render", path, "-t", template, "-o", tmp_path, "--zoo", zoo]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until = time.monotonic() + 120
        while not at_work(child := children.read_text().strip()) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (code, "", "")
    assert not running(child)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["endless.j2", "inventory.toml"]


def at_work(process: str) -> bool:
    """Whether the process for a template has begun: then it has bounded its own time."""
    return bool(process) and "Max cpu time              10 " in Path(f"/proc/{process}/limits").read_text()


def running(process: str) -> bool:
    """Whether a process is at work still; a dead one may wait for its new parent to take note."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_narrow_terminal_breaks_no_number(zoo: Path, tmp_path: Path) -> None:
    name = inventories.write(tmp_path).name
    words = [COMMAND, "simulate", name, name, "--duration", "60", "--zoo", zoo]
    plain = subprocess.run([*words, "--format", "json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    measured = f"{json.loads(plain.stdout.splitlines()[0])['throughput_tok_s']:,.1f}"
    terminal, side = pty.openpty()
    termios.tcsetwinsize(side, (24, 80))
    subprocess.run(words, cwd=tmp_path, stdout=side, check=True)
    os.close(side)
    shown = read(terminal).replace("\r\n", "\n").splitlines()
    assert max(map(len, shown[:-1])) <= 80  # the last is a sentence
    assert sum(measured in line for line in shown) == 2


def read(terminal: int) -> str:
    """What was written to the other side of a terminal."""
    found = b""
    with suppress(OSError):  # as Linux says that the other side is closed
        while part := os.read(terminal, 4096):
            found += part
    os.close(terminal)
    return found.decode()
