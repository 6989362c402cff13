"""What `--help` shows: examples that work, within a terminal of 80 columns."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from advisor.cli.app import app
from advisor.cli.usage.examples import EXAMPLES

ROOT: Any = typer.main.get_command(app)
LINES = [line for lines in EXAMPLES.values() for line in lines]


def test_every_command_has_examples() -> None:
    names = {name for name in ROOT.commands if name != "inventory"}
    names |= {name if name != "check" else "inventory-check" for name in ROOT.commands["inventory"].commands}
    assert names == EXAMPLES.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_help_shows_them_within_80_columns(name: str) -> None:
    _, *words = EXAMPLES[name][0].split()
    words = words[: 2 if words[0] == "inventory" else 1]
    shown = CliRunner().invoke(app, [*words, "--help"], terminal_width=80, env={"COLUMNS": "80"}).output
    assert "Examples:" in shown
    assert all(f"    {line}" in shown.splitlines() for line in EXAMPLES[name])
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("line", LINES)
def test_examples_name_commands_and_options_that_there_are(line: str) -> None:
    _, *words = shlex.split(line.rpartition("| ")[2].partition(" >")[0])
    command = ROOT
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert all(word in known for word in words if word.startswith("-") and word != "-")
