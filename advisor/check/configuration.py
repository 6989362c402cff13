"""Settings of `advisor check` in a project: `advisor.toml`, or the table [tool.advisor] of `pyproject.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from advisor import input_file
from advisor.errors import InputError

OWN, SHARED = "advisor.toml", "pyproject.toml"
MAX_BYTES = 4 * 1024**2
_TEXTS, _LISTS = ("inventory", "placement", "vllm", "ttft-limit", "fail-on"), ("select", "ignore", "exclude")
KEYS = (*_TEXTS, *_LISTS)
SEVERITIES = ("error", "warning")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a project asks for; the command line wins over it."""

    inventory: Path | None = None
    placement: Path | None = None
    vllm: str | None = None
    ttft_limit: str | None = None
    """As a limit is written: "2s", "p99=500ms"."""
    fail_on: str | None = None
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    """Patterns of paths that are left out where folders are searched, as in "charts/*"."""


def find(folder: Path) -> Configuration:
    """The settings of the project that a folder belongs to: of the nearest file, upwards, that has any.

    Raises:
        InputError: the file cannot be read, or holds what nobody knows.
    """
    for parent in (folder, *folder.parents):
        for name in (OWN, SHARED):
            path = parent / name
            if path.is_file() and (table := _table(path)) is not None:
                return _configuration(table, path)
    return Configuration()


def _table(path: Path) -> Mapping[str, Any] | None:
    import tomli

    text = input_file.read_text(path, "settings are a TOML file", MAX_BYTES)
    if path.name == SHARED and "advisor" not in text:
        return None
    try:
        document = tomli.loads(text)
    except (tomli.TOMLDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    if path.name == OWN:
        return document
    tools = document.get("tool")
    found = tools.get("advisor") if isinstance(tools, dict) else None
    return cast(Mapping[str, Any], found) if isinstance(found, dict) else None


def _configuration(table: Mapping[str, Any], path: Path) -> Configuration:
    for key, value in table.items():
        if key not in KEYS:
            from advisor.nearest import nearest

            near = nearest(key, KEYS)
            hint = f"; did you mean {near!r}?" if near else f"; valid keys are {', '.join(KEYS)}"
            raise InputError(f"{path}: unknown key {key!r}{hint}")
        if key in _TEXTS and not (isinstance(value, str) and value):
            raise InputError(f"{path}: {key} must be a text, not {value!r}")
        if key in _LISTS and not (isinstance(value, list) and all(isinstance(each, str) and each for each in value)):
            raise InputError(f"{path}: {key} must be a list of texts, not {value!r}")
    if (fail_on := table.get("fail-on")) not in (None, *SEVERITIES):
        raise InputError(f"{path}: fail-on must be one of {', '.join(SEVERITIES)}, not {fail_on!r}")
    inventory, placement = table.get("inventory"), table.get("placement")
    return Configuration(
        path.parent / inventory if inventory else None,
        path.parent / placement if placement else None,
        table.get("vllm"),
        table.get("ttft-limit"),
        fail_on,
        *(tuple(table.get(key, ())) for key in _LISTS),
    )
