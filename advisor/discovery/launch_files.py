"""Adapters and settings that deployment files name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from advisor import input_file
from advisor.deploy.deployment import Deployment, NotReadableError, Value
from advisor.deploy.finder import MAX_CHARACTERS, find
from advisor.discovery.discovery import Adapter, Discovery
from advisor.errors import InputError
from advisor.inventory.schema import SettingsTable
from advisor.names import listed


def read(paths: Sequence[Path]) -> Discovery:
    """What the servers of these files serve, and under which settings: those of one server, in one or several files.

    Raises:
        InputError: a file cannot be read, or no file holds a server of vLLM.
    """
    servers = list[Deployment]()
    for path in paths:
        try:
            servers += find(input_file.read_text(path, "a deployment file is text", 4 * MAX_CHARACTERS), str(path))
        except NotReadableError as error:
            raise InputError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    if not servers:
        raise InputError(f"{', '.join(map(str, paths))}: no server of vLLM here")
    adapters, notes = dict[str, Adapter](), list[str]()
    for each in (each for server in servers for each in server.adapters):
        known = adapters.setdefault(each.name, Adapter(each.name, source=each.source))
        if each.source and known.source != each.source:
            notes.append(f"{each.name}: given twice, from {known.source} and from {each.source}; the first is taken")
    if not adapters:
        notes.append("the files name no adapters: they are loaded at run time, or from elsewhere")
    settings = dict[str, int | float]()
    for server in servers:
        told, unknown = _settings(server)
        if differ := [name for name, value in told.items() if settings.setdefault(name, value) != value]:
            notes.append(f"several servers differ in {listed(differ)}; the first one's stand here")
        if unknown:
            notes.append(f"{server.file}: not known from the file: {listed(unknown)}")
    return Discovery(
        tuple(adapters.values()),
        model=next((each.model.text for each in servers if each.model and each.model.text), None),
        server=settings,
        notes=tuple(dict.fromkeys(notes)),
    )


def _settings(server: Deployment) -> tuple[dict[str, int | float], list[str]]:
    """The settings that an inventory has, as the server names them; and those whose values cannot be known."""
    known, unknown = dict[str, int | float](), list[str]()
    for name in SettingsTable.model_fields:
        flag = server.flag(name)
        if flag is None or flag.value is None:
            continue
        number = _number(flag.value)
        if number is None:
            unknown.append(f"{name} ({flag.value.text or flag.value.unknown})")
        else:
            known[name] = number
    return known, unknown


def _number(value: Value) -> int | float | None:
    text = (value.text or "").strip()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None
