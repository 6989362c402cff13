"""Servers for tests: a command as vLLM's reader finds it, and what it is checked against."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

from advisor.check.check import Checker
from advisor.check.finding import Checked
from advisor.check.target import Target
from advisor.deploy.arguments.command_line import read_arguments
from advisor.deploy.arguments.word import Word
from advisor.deploy.deployment import Deployment, Insertion
from advisor.deploy.source import Source
from advisor.inventory.inventory import parse
from advisor.recommend.objective import Objective
from advisor.zoo.pairs import find_pair

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
INVENTORY = """\
model = "meta-llama/Llama-3.1-8B-Instruct"
gpu = "h100-64gb"

[lengths]
input = { mean = 223, std = 191 }
output = { mean = 196, std = 181 }
correlation = -0.35

[[adapters]]
name = "legal"
rank = 16
rate = 0.05
count = 32

[[adapters]]
name = "support"
rank = 8
rate = 0.025
count = 32
"""
GOOD = f"vllm serve {MODEL} --enable-lora --max-loras 32 --max-cpu-loras 64 --max-lora-rank 16"


@cache
def target(inventory: str = INVENTORY) -> Target:
    """The shipped Llama pair and an inventory of 64 adapters, or another."""
    loaded = parse(inventory)
    return Target(loaded, find_pair(loaded.model, loaded.gpu), Objective())


def read(text: str, file: str = "run.sh") -> list[Deployment]:
    """The server that the command in a text starts; words stand between blanks, comments reach to the line's end."""
    source = Source.of(re.sub(r"#[^\n]*", lambda comment: " " * len(comment[0]), text))
    found = [Word(source.part(*match.span()), splits=True) for match in re.finditer(r"[^\s\\]+", source.text)]
    if not found:
        return []
    begin = next(i for i, word in enumerate(found) if word.text == "vllm") + 2
    arguments = read_arguments(found[begin:])
    end = found[-1].place.end
    return [
        Deployment(
            file,
            "shell",
            "",
            source.place(found[begin - 2].place.start, end),
            tuple(arguments.flags),
            model=arguments.model,
            adapters=tuple(arguments.adapters),
            problems=tuple(arguments.problems),
            partial=arguments.open,
            insertion=Insertion(source.place(end, end), " {flag}={value}"),
        )
    ]


def check(text: str, against: Target | None = None, vllm: str | None = None, **changes: Any) -> Checked:
    """A command, judged; `changes` are of its deployment."""
    deployments = [replace(each, **changes) for each in read(text)]
    return Checker(against, vllm).judge("run.sh", text, deployments)


def codes(checked: Checked) -> list[str]:
    """The codes of what is found, remarks left out."""
    return [finding.code for finding in checked.standing if finding.severity.level]
