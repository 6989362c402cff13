"""The inventory: which adapters are to be served, how often they are asked and how long their requests are.

`load` reads `inventory.toml`; everything in it is checked here, so that no later stage meets a bad number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from advisor import input_file
from advisor.derive.engine import PLAIN, Engine
from advisor.errors import InputError
from advisor.inventory import document as documents
from advisor.inventory import length_file
from advisor.inventory.consistency import check
from advisor.inventory.schema import Adapter, Base, File, Length, ReplayFile
from advisor.inventory.validation import RefusedError, explain
from twin.lengths import Quantiles, Table
from twin.profile import Pair
from twin.workload import Workload

T = TypeVar("T")

MAX_BYTES = 32 * 1024**2
"""Of an inventory: 100,000 adapters of 335 bytes each."""


@dataclass(frozen=True, slots=True)
class GpuChoice:
    """A GPU type that servers may run on."""

    name: str
    """Short name, as the file has it."""
    price: float = 1.0
    """What one costs, in the unit of the other types' prices; 1 for all of them where the file says none."""
    at_most: int | None = None
    """How many there are; None for as many as are wanted."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """A checked inventory; the adapters in the order of the file, entries with a count expanded."""

    model: str
    """Hugging Face id or short name of the LLM, as the file has it."""
    gpu: str
    """Short name of the GPU type, of several the first."""
    names: tuple[str, ...]
    """Names of the adapters, all different."""
    sources: tuple[str | None, ...]
    """Where each adapter is loaded from, where the file says."""
    workload: Workload
    """Ranks, traffic and lengths of the adapters, in the order of `names`; and the traffic that names none of them."""
    server: Mapping[str, int | float]
    """Settings in force today, by vLLM's names, as far as the file names them; those that must stay included."""
    fixed: Mapping[str, int | float] = field(default_factory=dict)
    """Settings that must stay, in the same way."""
    gpus: tuple[GpuChoice, ...] = ()
    """GPU types to choose from, where the file has [[gpus]]."""
    pins: Mapping[str, int] = field(default_factory=dict)
    """Adapters that must be on the GPU of this number."""
    apart: Mapping[str, str] = field(default_factory=dict)
    """Adapters of a group no two of which may be on one GPU, and which group."""
    replicas: Mapping[str, int] = field(default_factory=dict)
    """Adapters that must be on so many GPUs, where the file says how many."""
    host_memory_gib: float | None = None
    """Memory of the host that adapters may take, GiB, where the file says."""
    counted_requests: int | None = None
    """The requests that the rates were counted from, where the file says."""
    dynamic: bool = False
    """Whether adapters are loaded and unloaded while the server runs."""
    together: Mapping[str, str] = field(default_factory=dict)
    """Adapters of a group that are asked at the same moment, and which group."""
    target_modules: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Modules that adapters touch, of those of which the file says."""
    engine: Engine = PLAIN
    """How the LLM is run."""

    @classmethod
    def of_workload(cls, workload: Workload, pair: Pair) -> Inventory:
        """The adapters of a workload, told apart by their numbers, under a pair."""
        names = tuple(f"adapter-{i}" for i in range(len(workload)))
        return cls(pair.model, pair.gpu, names, (None,) * len(workload), workload, {})

    def __len__(self) -> int:
        return len(self.names)

    @property
    def placing(self) -> list[str]:
        """The keys of adapters that are about several GPUs, as far as they are used."""
        return [key for key, told in (("gpu", self.pins), ("apart", self.apart), ("replicas", self.replicas)) if told]

    def one_gpu(self) -> str:
        """The GPU type, for an answer about one GPU.

        Raises:
            InputError: there are several to choose from.
        """
        if len(self.gpus) > 1:
            raise InputError(
                f"[[gpus]] names {len(self.gpus)} types, which `advisor place` chooses from; for an answer about one "
                f'GPU, write gpu = "{self.gpu}" instead'
            )
        return self.gpu

    @property
    def mix(self) -> Workload:
        """The workload as the models see it: the rates of its busiest minute, and prefixes if they are cached."""
        mix = self.workload.busiest()
        return mix if self.server.get("enable_prefix_caching", True) else replace(mix, shared_prefix=None)

    def only(self, names: Iterable[str]) -> Inventory:
        """The inventory without the adapters that are not named."""
        wanted = set(names)
        return self.take(np.array([i for i, name in enumerate(self.names) if name in wanted], dtype=np.int64))

    def take(self, positions: NDArray[np.int64]) -> Inventory:
        """The adapters at these positions."""
        return replace(
            self,
            names=tuple(self.names[i] for i in positions),
            sources=tuple(self.sources[i] for i in positions),
            workload=self.workload.take(positions),
        )


def load(path: Path, *, traffic: bool = True) -> Inventory:
    """Read an inventory; without `traffic`, as `parse`.

    Raises:
        InputError: no such file, not TOML, or not an inventory; the message names file, line, key and remedy.
    """
    return parse(
        input_file.read_text(path, "an inventory is a TOML file", MAX_BYTES), str(path), path.parent, traffic=traffic
    )


def parse(text: str, where: str = "inventory", folder: Path = Path(), *, traffic: bool = True) -> Inventory:
    """Read an inventory from the text of its file; `where` opens every error message.

    Paths of files with lengths are relative to `folder`. Without `traffic` the inventory says who the adapters are, and
    its rates and lengths, which may be missing, are not used: the workload holds ranks, and rates of 0.

    Raises:
        InputError: as `load`.
    """
    document, model = documents.parse(text, where), File if traffic else ReplayFile
    try:
        file = model.model_validate(document.data)
        check(file, traffic=traffic)
    except (ValidationError, RefusedError) as error:
        raise InputError(explain(error, model, document)) from error
    return _expand(file, _workload(file, folder) if traffic else _ranks(file), folder)


def _expand(file: File, workload: Workload, folder: Path) -> Inventory:
    fixed = file.fixed.named()
    names = tuple(chain.from_iterable(row.names for row in file.adapters))
    sources = tuple(chain.from_iterable((row.source,) * (row.count or 1) for row in file.adapters))
    gpus = tuple(GpuChoice(each.type, each.price or 1.0, each.at_most) for each in file.gpus)

    def of_those_that_have(key: str) -> dict[str, Any]:
        told = ((row, getattr(row, key)) for row in file.adapters)
        return {name: value for row, value in told if value is not None for name in row.names}

    return Inventory(
        model=file.model,
        gpu=file.gpu_name or gpus[0].name,
        names=names,
        sources=sources,
        workload=workload,
        server={**file.server.named(), **fixed},
        fixed=fixed,
        gpus=gpus,
        pins=of_those_that_have("gpu"),
        apart=of_those_that_have("apart"),
        replicas=of_those_that_have("replicas"),
        host_memory_gib=file.host_memory_gib,
        counted_requests=file.counted_requests,
        dynamic=file.dynamic,
        together=of_those_that_have("together"),
        target_modules={name: frozenset(modules) for name, modules in of_those_that_have("target_modules").items()},
        engine=file.engine(folder),
    )


def _ranks(file: File) -> Workload:
    """A workload in which nothing arrives."""
    rank = np.repeat([float(row.rank) for row in file.adapters], [row.count or 1 for row in file.adapters])
    none, token = np.zeros(len(rank)), np.ones(len(rank))
    return Workload(
        rank,
        none,
        token,
        none,
        token,
        none,
        token,
        shared_prefix=_shared_prefix(file.adapters, file.lengths.shared_prefix),
    )


def _shared_prefix(rows: Sequence[Adapter | Base], common: int | None) -> NDArray[np.int32] | None:
    """The tokens that the prompts of each adapter begin with; None where no entry says any."""
    told = [common if row.shared_prefix is None else row.shared_prefix for row in rows]
    if not any(told):
        return None
    return np.repeat(np.array([each or 0 for each in told], dtype=np.int32), [row.count or 1 for row in rows])


def _workload(file: File, folder: Path) -> Workload:
    phases = tuple(phase.phase() for phase in file.phases)
    if file.base is None or not file.base.rate:
        return replace(_traffic(file.adapters, file, folder), phases=phases)
    everything = _traffic([*file.adapters, file.base], file, folder)
    adapters, base = np.split(np.arange(len(everything)), [-1])
    return replace(everything.take(adapters), phases=phases, base=everything.take(base))


def _traffic(rows: Sequence[Adapter | Base], file: File, folder: Path) -> Workload:
    """What arrives of these entries, those with a count expanded."""
    counts = np.array([row.count or 1 for row in rows])

    def repeated(values: Iterable[T]) -> tuple[T, ...]:
        return tuple(chain.from_iterable((value,) * (row.count or 1) for value, row in zip(values, rows, strict=True)))

    def column(value: Callable[[Adapter | Base], float]) -> NDArray[np.float64]:
        return np.repeat(np.fromiter(map(value, rows), dtype=np.float64, count=len(rows)), counts)

    tables = _tables(rows, file, folder)
    found = {kind: _lengths(rows, file, kind, tables) for kind in ("input", "output")}

    def moment(kind: str, name: str) -> NDArray[np.float64]:
        of_table = f"{kind}_{name}"
        values = [getattr(each, of_table if isinstance(each, Table) else name) for each in found[kind]]
        return np.repeat(np.array(values, dtype=np.float64), counts)

    def laws(values: list[T | None]) -> tuple[T | None, ...]:
        return repeated(values) if any(value is not None for value in values) else ()

    def quantiles(kind: str) -> tuple[Quantiles | None, ...]:
        return laws([each if isinstance(each, Quantiles) else None for each in found[kind]])

    gaps = np.array([row.gaps == "lognormal" for row in rows])
    return Workload(
        rank=column(lambda row: row.rank),
        rate=column(lambda row: row.rate),
        input_mean=moment("input", "mean"),
        input_std=moment("input", "std"),
        output_mean=moment("output", "mean"),
        output_std=moment("output", "std"),
        cv=column(lambda row: row.cv),
        correlation=file.lengths.correlation,
        lognormal_gaps=np.repeat(gaps, counts) if gaps.any() else None,
        input_quantiles=quantiles("input"),
        output_quantiles=quantiles("output"),
        tables=laws(tables),
        shared_prefix=_shared_prefix(rows, file.lengths.shared_prefix),
    )


def _tables(rows: Sequence[Adapter | Base], file: File, folder: Path) -> list[Table | None]:
    """The table of lengths of each entry, where it has one; a file that many name is read once."""
    known: dict[str, Table] = {}
    tables: list[Table | None] = []
    for row in rows:
        name = row.lengths or (None if row.input or row.output else file.lengths.file)
        if name is not None and name not in known:
            known[name] = length_file.load(folder / name)
        tables.append(known[name] if name is not None else None)
    return tables


def _lengths(
    rows: Sequence[Adapter | Base], file: File, kind: str, tables: list[Table | None]
) -> list[Length | Quantiles | Table]:
    """What each entry's lengths of this kind follow."""
    default = getattr(file.lengths, kind)
    return [table or getattr(row, kind) or default for row, table in zip(rows, tables, strict=True)]
