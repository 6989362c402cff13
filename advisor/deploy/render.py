"""Launch files from a recommendation, by templates: shipped ones by name, or a user's own by path.

Nothing from an inventory can become syntax of the file: the filters `yaml`, `json`, `sh` and `literal` quote a value
for where it stands, and templates run in a sandbox. All files are rendered before the first is written, and each
appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from advisor.errors import InputError
from advisor.inventory.inventory import Inventory
from advisor.recommend.recommendation import Recommendation
from advisor.zoo.pairs import Pair

SUFFIX = ".j2"


@dataclass(frozen=True, slots=True)
class LaunchFile:
    """A rendered file."""

    name: str
    text: str


def shipped() -> dict[str, str]:
    """The templates that come with the package: name to text."""
    templates = (entry for entry in files("advisor.templates").iterdir() if entry.name.endswith(SUFFIX))
    return {entry.name: entry.read_text(encoding="utf-8") for entry in sorted(templates, key=lambda entry: entry.name)}


def render(template: str, recommendation: Recommendation, inventory: Inventory, pair: Pair) -> LaunchFile:
    """Render one template: the name of a shipped one (with or without its endings) or a path.

    Raises:
        InputError: no such template, a mistake in it, or nothing feasible to render.
    """
    if not recommendation.feasible:
        raise InputError(f"nothing to render: {recommendation.reason}")
    name, text = _find(template)
    try:
        rendered = _environment().from_string(text).render(_context(recommendation, inventory, pair))
    except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise InputError(f"{template}{f':{line}' if line else ''}: mistake in the template: {error}") from error
    return LaunchFile(name.removesuffix(SUFFIX), rendered.rstrip("\n") + "\n")


def write(launch_files: Sequence[LaunchFile], directory: Path) -> list[Path]:
    """Write files into a directory, made where it is missing; none appears before all are written out.

    Raises:
        InputError: two files of one name, or the directory or a file cannot be written.
    """
    paths = [directory / file.name for file in launch_files]
    if len(set(paths)) < len(paths):
        raise InputError(f"two templates make the same file in {directory}: {', '.join(path.name for path in paths)}")
    staged: list[Path] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file in launch_files:
            staged.append(_stage(file, directory))
        for temporary, path in zip(staged, paths, strict=True):
            temporary.replace(path)
    except OSError as error:
        raise InputError(f"{error.filename or directory}: cannot write: {error.strerror}") from error
    finally:
        for temporary in staged:
            temporary.unlink(missing_ok=True)
    return paths


def _stage(file: LaunchFile, directory: Path) -> Path:
    """The file under a temporary name in its directory."""
    handle, name = tempfile.mkstemp(dir=directory, prefix=f".{file.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(file.text)
        temporary.chmod(0o755 if file.text.startswith("#!") else 0o644)
    except OSError:
        temporary.unlink()
        raise
    return temporary


def _find(template: str) -> tuple[str, str]:
    ours = shipped()
    for name, text in ours.items():
        if template in (name, name.removesuffix(SUFFIX), name.partition(".")[0]):
            return name, text
    path = Path(template)
    try:
        return path.name, path.read_text(encoding="utf-8")
    except OSError as error:
        names = ", ".join(name.partition(".")[0] for name in ours)
        raise InputError(
            f"template {template!r}: {error.strerror}; give the path of a file or one of {names}"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"template {template!r}: not UTF-8 text (byte {error.start})") from error


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"yaml": _yaml, "literal": _literal, "json": json.dumps, "sh": _sh}
    return environment


def _yaml(value: str | float) -> str:
    """A YAML scalar: text always in double quotes with escapes, on one line."""
    style = '"' if isinstance(value, str) else None
    return yaml.safe_dump(value, default_style=style, width=float("inf")).removesuffix("\n...\n").rstrip("\n")


def _literal(text: str) -> str:
    """Text for files in which `$NAME`, `${NAME}` or `$(NAME)` is replaced: compose and Kubernetes."""
    return text.replace("$", "$$")


def _sh(value: str | float) -> str:
    """One word of a shell."""
    return shlex.quote(str(value))


def _context(recommendation: Recommendation, inventory: Inventory, pair: Pair) -> Mapping[str, Any]:
    """What templates can use; `templates/__init__.py` documents it."""
    admitted = set(recommendation.admission.admitted)
    rows = zip(
        inventory.names, inventory.mix.rank.tolist(), inventory.mix.rate.tolist(), inventory.sources, strict=True
    )
    adapters = [
        {"name": name, "rank": int(rank), "rate": rate, "source": source}
        for name, rank, rate, source in rows
        if name in admitted
    ]
    return {
        "pair": pair.name,
        "model": pair.manifest.model,
        "gpu": pair.manifest.gpu,
        "vllm": pair.manifest.vllm,
        "flags": recommendation.document()["flags"],
        "args": recommendation.args,
        "modules": [json.dumps({"name": row["name"], "path": row["source"]}) for row in adapters if row["source"]],
        "adapters": adapters,
    }
