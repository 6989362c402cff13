"""What --config and --model do to a command line before it is parsed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from advisor.deploy.arguments.argument_list import Arguments
from advisor.deploy.arguments.word import Word, short

ReadConfig = Callable[[str], "Sequence[tuple[str, Sequence[Word]]] | None"]
"""Reads a file named by `--config`: each key with its words, as vLLM makes them flags; None if it is not there."""


def model_first(words: list[Word], found: Arguments) -> list[Word]:
    """As `vllm serve` does: the value of the first `--model` becomes the first word."""
    at = next((i for i, word in enumerate(words) if re.match(r"--model(=.+|$)", word.text, re.DOTALL)), None)
    if at is not None:
        if words[at].text != "--model":
            start = len("--model=")
            model = replace(words[at], source=words[at].source.part(start, len(words[at].text)))
            return [model, *words[:at], *words[at + 1 :]]
        if at + 1 < len(words):
            return [words[at + 1], *words[:at], *words[at + 2 :]]
    elif (
        words
        and words[0].text.startswith("-")
        and not any(re.match(r"--config(=|$)", word.text) for word in words)
        and (served := next((w for w in words if re.match(r"--served[-_]model[-_]name(=|$)", w.text)), None))
    ):
        found.problem(
            "model-not-first",
            "with --served-model-name the model has to be the first word behind `vllm serve`: vLLM does not start",
            served.place,
        )
    return words


def with_config(words: list[Word], found: Arguments, config: ReadConfig | None, serve: bool) -> list[Word]:
    """The words with those of the file in place of `--config FILE`, before all others but the model."""
    for word in words:
        if word.text.startswith("--config="):
            found.problem(
                "config-equals",
                f"{short(word.text)} is accepted and not read, only `--config FILE` in two words is: "
                "no flag of the file applies",
                word.place,
                word.text.replace("=", " ", 1) if word.splits and not word.quote else None,
            )
    named = [i for i, word in enumerate(words) if word.text == "--config"]
    if not named:
        return words
    at = named[0]
    if len(named) > 1:
        found.problem("config-twice", "--config twice: vLLM does not start", words[named[1]].place)
    if at + 1 == len(words):
        found.problem("missing-value", "--config without a file: vLLM does not start", words[at].place)
        return words[:at]
    file = words[at + 1]
    rest = [*words[:at], *words[at + 2 :]]
    if not file.unknown and file.text.rpartition(".")[2] not in ("yaml", "yml"):
        found.problem(
            "config-suffix", f"--config {file.text}: vLLM takes .yaml and .yml, and does not start", file.place
        )
        return rest
    entries = config(file.text) if config and not file.unknown else None
    if entries is None:
        found.open = True
        found.problem("unknown-config", f"--config {short(file.text)}: what this file sets is not known", file.place)
        return rest
    behind = 1 if serve and rest and not rest[0].text.startswith("-") else 0
    if behind == 0 and serve:
        model = next((i for i, (key, values) in enumerate(entries) if key == "model" and values), None)
        if model is not None:
            rest, behind = [*entries[model][1][1:2], *rest], 1  # without its flag
            entries = [*entries[:model], *entries[model + 1 :]]
    flags = [word for _, values in entries for word in values]
    return [*rest[:behind], *flags, *rest[behind:]]
