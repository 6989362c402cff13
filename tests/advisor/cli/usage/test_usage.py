"""How the command is called: its help, and words that it does not know."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.main import get_command

import advisor
from advisor.cli.app import app
from tests.advisor.cli.command import Run


@pytest.mark.parametrize(
    "words",
    [
        ("recommend",),
        ("recommend", "x", "--objective", "fast"),
        ("recommend", "x", "--ttft-limit", "soon"),
        ("fly",),
        ("--fly",),
        ("simulate", "x", "--max-loras", "0"),
    ],
)
def test_bad_usage(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words, zoo=None)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"advisor: .* \(see advisor.* --help\)\n", done.stderr)
    assert (words[-2] if len(words) > 2 else words[-1]) in done.stderr or words == ("recommend",)


def test_no_command_shows_the_help(run: Run) -> None:
    done = run(zoo=None)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == run("--help", zoo=None).stdout


COMMANDS = ("recommend", "render", "simulate", "pairs", "explain")


@pytest.mark.parametrize("words", [(), *((command,) for command in COMMANDS)])
def test_help(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words, "--help", zoo=None)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(" ".join(("Usage: advisor", *words)))
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert run(*words, "-h", zoo=None).stdout == done.stdout


def test_version(run: Run) -> None:
    done = run("--version", zoo=None)
    assert (done.returncode, done.stdout) == (0, f"adapter-advisor {version('adapter-advisor')}\n")


def test_the_core_names_no_flag_of_the_command_line() -> None:
    package = Path(advisor.__file__).parent
    options = {
        option for command in get_command(app).commands.values() for each in command.params for option in each.opts
    }
    assert {"--ttft-limit", "--verify"} <= options
    commands = {package / "cli", package / "bench.py"}  # the second calls the first
    core = [path for path in package.rglob("*.py") if not commands & {path, *path.parents}]
    assert len(core) > 20
    named = {
        (path.name, word)
        for path in core
        for word in re.findall(r"--[a-z][a-z-]+", path.read_text())
        if word in options - {"--max-loras", "--max-lora-rank", "--model"}  # of vLLM, too
    }
    assert named == set()
