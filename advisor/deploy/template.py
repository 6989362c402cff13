"""Templates: Jinja files whose values are quoted for where they stand, so that none becomes syntax of the file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from advisor import input_file

SUFFIX = ".j2"
MAX_BYTES = 1_000_000
"""Of a template: the longest of ours has 2,000."""


class MistakeError(Exception):
    """A template cannot be rendered; the message says why, `line` where, if that is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def shipped() -> dict[str, str]:
    """The templates that come with the package: name to text."""
    templates = (entry for entry in files("advisor.templates").iterdir() if entry.name.endswith(SUFFIX))
    return {entry.name: entry.read_text(encoding="utf-8") for entry in sorted(templates, key=lambda entry: entry.name)}


def read(path: Path) -> str:
    """The text of a user's own template.

    Raises:
        InputError: no such file, one without an end, too long or not text.
    """
    names = ", ".join(name.partition(".")[0] for name in shipped())
    return input_file.read_text(path, f"a template is a text file or one of {names}", MAX_BYTES)


def fill(template: str, context: Mapping[str, Any], *, max_characters: int | None = None) -> str:
    """The text that a template makes, of so many characters at most.

    Raises:
        MistakeError: there is a mistake in the template, or it makes too long a text.
        MemoryError: it takes more memory than there is.
    """
    parts, length = list[str](), 0
    try:
        for part in _environment().from_string(template).generate(context):
            parts.append(part)
            length += len(part)
            if max_characters is not None and length > max_characters:
                raise MistakeError(f"it makes more than {max_characters:,} characters")
    except (MistakeError, MemoryError):
        raise
    except Exception as error:  # whatever a template can raise is a mistake in it
        raise MistakeError(str(error) or type(error).__name__, _line(error)) from error
    return "".join(parts).rstrip("\n") + "\n"


def _line(error: Exception) -> int | None:
    """The line of the template that raised an error."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    line, at = None, error.__traceback__
    while at is not None:  # Jinja gives the frames of a template its lines
        if at.tb_frame.f_code.co_filename == "<template>":
            line = at.tb_lineno
        at = at.tb_next
    return line


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"yaml": _yaml, "literal": _literal, "json": json.dumps, "sh": _sh, "comment": _comment}
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


def _comment(text: str) -> str:
    """Text for a comment: on one line, with escapes for what cannot be printed."""
    return "".join(
        each if each.isprintable() and each != "\\" else each.encode("unicode_escape").decode() for each in text
    )
