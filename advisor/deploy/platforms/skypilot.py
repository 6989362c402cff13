"""SkyPilot's tasks: a script under run, with variables under envs."""

from __future__ import annotations

from dataclasses import replace

from advisor.deploy.arguments.word import Word
from advisor.deploy.context import Context
from advisor.deploy.formats.scripts import read_script
from advisor.deploy.platforms.found import Found
from advisor.deploy.syntax.tree import Mapping


def read(mapping: Mapping, context: Context) -> Found | None:
    """A task: what its run starts."""
    run = mapping.scalar("run")
    signs = ("resources", "envs", "setup", "service", "file_mounts", "workdir", "num_nodes")
    if run is None or not any(sign in mapping for sign in signs) or "steps" in mapping:
        return None
    variables = context.environment(mapping)
    gpu = mapping.scalar("resources", "accelerators")
    servers = tuple(
        replace(
            each,
            kind="SkyPilot",
            name=mapping.text("name") or each.name,
            gpu=gpu.value if gpu else each.gpu,
            environment={name: value.value for name, value in variables.items()} | dict(each.environment),
        )
        for each in read_script(Word(run.source, quote=run.quote), context, variables)
    )
    return Found(servers)
