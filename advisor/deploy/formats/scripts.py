"""Shell scripts inside of structured files, read by the shell's own reader, and the files that these hold in turn."""

from __future__ import annotations

from collections.abc import Mapping as Variables
from dataclasses import replace
from pathlib import PurePath

from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.arguments.engine_arguments import config_entries
from advisor.deploy.arguments.word import Word
from advisor.deploy.context import MAX_NESTING, Context
from advisor.deploy.deployment import Deployment, NotReadableError
from advisor.deploy.formats import shell
from advisor.deploy.source import Source
from advisor.deploy.syntax import yaml_tree
from advisor.deploy.syntax.tree import Mapping, Scalar


def read_script(script: Word, context: Context, variables: Variables[str, Scalar]) -> list[Deployment]:
    """The servers that a script starts, or that files in it describe, at their places in the file."""
    context.spend(len(script.text) // 10)  # about a word each
    given = {name: context.word(value) for name, value in variables.items()}
    found = shell.read(script.source, context.file, kind=context.kind, config=context.config, variables=given)
    deployments = list(found.deployments)
    if not found.documents or context.nesting >= MAX_NESTING:
        return deployments
    held = {PurePath(document.name).name: document.source for document in found.documents}
    named: set[str] = set()
    config = held_config(held, context, named)
    again = shell.read(script.source, context.file, kind=context.kind, config=config, variables=given)
    deployments = list(again.deployments)
    inner = replace(context, config=config)
    for document in again.documents:
        if context.held is not None and PurePath(document.name).name not in named:
            deployments += context.held(document.source, inner)
    return deployments


def held_config(held: Variables[str, Source], context: Context, named: set[str]) -> ReadConfig:
    """Reads what --config names from files that the file itself holds, or else as before; notes which it has read."""

    def read(name: str) -> list[tuple[str, list[Word]]] | None:
        base = PurePath(name).name
        if base not in held:
            found = context.config(name) if context.config else None
            return None if found is None else [(key, list(words)) for key, words in found]
        named.add(base)
        try:
            first = next(iter(yaml_tree.read(held[base])), None)
        except NotReadableError:
            return []
        return config_entries(first, context) if isinstance(first, Mapping) else []

    return read
