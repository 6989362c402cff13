"""An earlier placement, from the JSON that it was written as."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from advisor import input_file
from advisor.errors import InputError
from advisor.inventory.schema import SettingsTable
from advisor.names import counted, listed

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
    base: float = 0.0
    """Of requests that name no adapter, the share that comes here."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Of adapters that are on other servers too: the share of their requests that comes here."""
    standby: tuple[str, ...] = ()
    """Adapters that it takes over when their server fails."""


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
    base: float = Field(default=0.0, ge=0, le=1)
    weights: dict[str, Annotated[float, Field(gt=0, le=1)]] = {}
    standby: list[str] = []


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
        servers[entry.gpu] = Running(
            tuple(entry.adapters), entry.flags.named(), entry.pair, entry.base, entry.weights, tuple(entry.standby)
        )
    return servers


def strangers(servers: Mapping[int, Running], names: Container[str]) -> list[str]:
    """Adapters of an earlier placement that the inventory does not have."""
    return list(dict.fromkeys(name for each in servers.values() for name in each.adapters if name not in names))


def told(unknown: list[str]) -> str:
    """What is said of such adapters."""
    are = "is" if len(unknown) == 1 else "are"
    return f"{counted(len(unknown), 'adapter')} of the previous placement {are} not in the inventory: {listed(unknown)}"
