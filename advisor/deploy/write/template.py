"""Templates: Jinja files whose values are quoted for where they stand, so that none becomes syntax of the file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, StrictUndefined, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from advisor import input_file
from advisor.deploy.write.quoting import FILTERS, RefusedError

SUFFIX = ".j2"
PART = "_"
"""How the name of a template begins that others include and nobody asks for."""
MAX_BYTES = 1_000_000
"""Of a template: the longest of ours has 2,000."""


class MistakeError(Exception):
    """A template cannot be rendered; the message says why, `line` where, if that is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@cache
def _ours(folder: str = "") -> dict[str, str]:
    entries = files("advisor.templates").joinpath(folder).iterdir()
    templates = (entry for entry in entries if entry.name.endswith(SUFFIX))
    return {entry.name: entry.read_text(encoding="utf-8") for entry in sorted(templates, key=lambda entry: entry.name)}


def shipped() -> dict[str, str]:
    """The templates that come with the package: file name to text."""
    return {file: text for file, text in _ours().items() if not file.startswith(PART)}


def routers() -> dict[str, str]:
    """Those of router maps, which see a placement and not a recommendation."""
    return _ours("routers")


def name(file: str) -> str:
    """What a template of this file name is called: "compose" for compose.yaml.j2."""
    return file.partition(".")[0]


def descriptions() -> dict[str, str]:
    """What each shipped template makes, by its name: the comment that it begins with."""
    return {name(file): text.partition("#}")[0].removeprefix("{#").strip() for file, text in shipped().items()}


def read(path: Path) -> str:
    """The text of a user's own template.

    Raises:
        InputError: no such file, one without an end, too long or not text.
    """
    return input_file.read_text(path, f"a template is a text file or one of {', '.join(descriptions())}", MAX_BYTES)


def fill(template: str, context: Mapping[str, Any], *, max_characters: int | None = None) -> str:
    """The text that a template makes, of so many characters at most.

    Raises:
        MistakeError: there is a mistake in the template, or it makes too long a text.
        RefusedError: the format cannot say what is to be said.
        MemoryError: it takes more memory than there is.
    """
    parts, length = list[str](), 0
    try:
        for part in _environment().from_string(template).generate(context):
            parts.append(part)
            length += len(part)
            if max_characters is not None and length > max_characters:
                raise MistakeError(f"it makes more than {max_characters:,} characters")
    except (MistakeError, RefusedError, MemoryError):
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


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    parts = {file: text for file, text in _ours().items() if file.startswith(PART)}
    environment = ImmutableSandboxedEnvironment(
        loader=DictLoader(parts),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= FILTERS
    return environment
