"""An earlier placement, from the JSON that it was written as."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from advisor import input_file
from advisor.errors import InputError
from advisor.inventory.schema import SettingsTable
from advisor.names import counted, listed
from advisor.place.fleet import Fleet
from advisor.place.placement import Group
from advisor.place.servers import Servers
from advisor.place.settling import settle

MAX_BYTES = 256 * 1024**2
"""Of the file: 100,000 adapters are 10 MB."""
WHAT = "an earlier placement is what `advisor place` wrote as JSON"


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs."""

    adapters: tuple[str, ...]
    """Their names."""
    flags: Mapping[str, int | float]
    """What it was launched with, by vLLM's names."""
    pair: str | None
    """Short name of its pair, where the file tells."""


class _Flags(SettingsTable):
    """Of these the plan knows the settings; how a pair is run is the pair's business."""

    tensor_parallel_size: int | None = None
    quantization: str | None = None
    kv_cache_dtype: str | None = None

    def named(self) -> dict[str, int | float]:
        return self.model_dump(
            exclude_none=True, exclude=_Flags.model_fields.keys() - SettingsTable.model_fields.keys()
        )


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True)

    gpu: int = Field(ge=0)
    adapters: list[str]
    flags: _Flags = _Flags()
    pair: str | None = None


class _File(BaseModel):
    model_config = ConfigDict(strict=True)

    assignments: list[_Entry]


def read(path: Path) -> dict[int, Running]:
    """The servers of an earlier placement, by the number of their GPU.

    Raises:
        InputError: no such file, or it is no placement.
    """
    text = input_file.read_text(path, WHAT, MAX_BYTES)
    try:
        file = _File.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {place + ': ' if place else ''}{first['msg']}; {WHAT}") from error
    servers: dict[int, Running] = {}
    for entry in file.assignments:
        if entry.gpu in servers:
            raise InputError(f"{path}: GPU {entry.gpu} is there twice; {WHAT}")
        if len(set(entry.adapters)) < len(entry.adapters):
            raise InputError(f"{path}: GPU {entry.gpu} has an adapter twice; {WHAT}")
        servers[entry.gpu] = Running(tuple(entry.adapters), entry.flags.named(), entry.pair)
    return servers


def strangers(servers: Mapping[int, Running], names: Container[str]) -> list[str]:
    """Adapters of an earlier placement that the inventory does not have."""
    return list(dict.fromkeys(name for each in servers.values() for name in each.adapters if name not in names))


def told(unknown: list[str]) -> str:
    """What is said of such adapters."""
    are = "is" if len(unknown) == 1 else "are"
    return f"{counted(len(unknown), 'adapter')} of the previous placement {are} not in the inventory: {listed(unknown)}"


def continued(servers: Servers, previous: Mapping[int, Running], positions: Mapping[str, int]) -> Fleet:
    """A fleet like the one before: who does not fit any more is elsewhere, who is new is where there is room.

    Then GPUs are emptied, the least loaded first, for as long as the others take their adapters.
    """
    fleet = Fleet(servers)
    by_pair = {each.pair.name: number for number, each in enumerate(servers.problem.gpu_types)}
    groups, numbers = list[Group](), list[int]()
    for gpu, running in sorted(previous.items()):
        adapters = tuple(sorted(positions[name] for name in running.adapters if name in positions))
        if running.pair is None or running.pair in by_pair:
            groups.append(Group(adapters, by_pair.get(running.pair or "", 0)))
            numbers.append(gpu)
    settle(fleet, groups, numbers)
    while (fewer := _without_one(fleet)) is not None:
        fleet = fewer
    return fleet


def _without_one(fleet: Fleet) -> Fleet | None:
    """The fleet without one of its GPUs, with all adapters that were placed; None if that cannot be."""
    pinned = set(fleet.problem.pins.values())
    free = [gpu for gpu in fleet.gpus if gpu not in pinned]
    if not free or len(fleet.gpus) == 1:
        return None
    least = min(free, key=lambda gpu: (sum(fleet.load[each] for each in fleet.gpus[gpu].adapters), gpu))
    smaller = fleet.copy()
    adapters = smaller.gpus.pop(least).adapters
    smaller.may_open = False
    smaller.insert(adapters)
    smaller.may_open = True
    return smaller if smaller.unplaced.keys() == fleet.unplaced.keys() else None
