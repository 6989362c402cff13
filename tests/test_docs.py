"""The documents show what the commands do: every command line is understood, every transcript is run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from advisor.cli.app import app as advisor_app
from calibrate.__main__ import app as calibrate_app
from model_zoo.__main__ import app as zoo_app

PAGES = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
TOOLS = {"advisor": advisor_app, "python -m calibrate": calibrate_app, "python -m model_zoo": zoo_app}
_LINE = re.compile(
    r"^(?: {4}|\| [^|]*\| `)(?P<tool>advisor|python -m (?:calibrate|model_zoo)) (?P<words>[^|`\n]*)", re.MULTILINE
)


def commands() -> Iterator[tuple[str, str, str]]:
    """Page, tool and arguments of every command line in the documents."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for found in _LINE.finditer(text):
            yield str(page), found["tool"], re.split(r"\s#|\s>|\s\|", found["words"])[0].strip()


@pytest.mark.parametrize(("page", "tool", "words"), list(commands()))
def test_every_command_line_is_understood(page: str, tool: str, words: str) -> None:
    command: Any = typer.main.get_command(TOOLS[tool])
    rest = shlex.split(words.replace("…", ""))
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        assert name in command.commands, f"{page}: no command {name}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"-h", "--help", "--version"}
    for word in rest:
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in known, f"{page}: {tool} {words}: no option {word}"


def transcripts() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            yield str(page), block


@pytest.mark.parametrize(("page", "block"), list(transcripts()))
def test_every_transcript_is_what_is_printed(page: str, block: str) -> None:
    line, _, shown = block.partition("\n")
    words = shlex.split(line.removeprefix("$ advisor"))
    done = subprocess.run([sys.executable, "-m", "advisor", *words], capture_output=True, text=True, check=False)
    assert done.stdout.rstrip() == shown.rstrip(), page


def test_the_references_are_those_that_are_printed() -> None:
    def printed(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "advisor", *words], capture_output=True, text=True, check=True
        ).stdout

    assert printed("schema", "--format", "markdown").strip() in Path("docs/inventory.md").read_text(encoding="utf-8")
    listed = Path("docs/rules.md").read_text(encoding="utf-8")
    for line in printed("check", "--explain", "all").splitlines():
        assert line.strip() in listed


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page}: {target}"
