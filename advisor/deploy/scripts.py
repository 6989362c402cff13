"""Shell scripts inside of structured files, read by the shell's own reader."""

from __future__ import annotations

from collections.abc import Mapping as Variables
from importlib import import_module
from importlib.util import find_spec

from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment, NotReadableError
from advisor.deploy.tree import Scalar
from advisor.deploy.vllm_flags import Word


def read_script(script: Word, context: Context, variables: Variables[str, Scalar]) -> list[Deployment]:
    """The servers that a script starts, at their places in the file; none where it cannot be read."""
    if find_spec("advisor.deploy.shell") is None:
        return []
    given = {name: context.word(value) for name, value in variables.items()}
    shell = import_module("advisor.deploy.shell")
    try:
        found = shell.read(script.source, context.file, kind=context.kind, config=context.config, variables=given)
    except NotReadableError:
        return []
    return list(found.deployments)
