"""The inventory: which adapters are to be served, how often they are asked and how long their requests are.

`load` reads `inventory.toml`; everything in it is checked here, so that no later stage meets a bad number.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from advisor.errors import InputError
from advisor.inventory import length_file
from advisor.inventory.schema import MAX_ADAPTERS, Adapter, File, Length
from advisor.inventory.validation import explain
from twin.lengths import Quantiles, Table
from twin.workload import Workload

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Inventory:
    """A checked inventory; the adapters in the order of the file, entries with a count expanded."""

    model: str
    """Hugging Face id or short name of the LLM, as the file has it."""
    gpu: str
    """Short name of the GPU type."""
    names: tuple[str, ...]
    """Names of the adapters, all different."""
    sources: tuple[str | None, ...]
    """Where each adapter is loaded from, where the file says."""
    workload: Workload
    """Ranks, traffic and lengths of the adapters, in the order of `names`."""
    server: Mapping[str, int | float]
    """Settings in force today, by vLLM's names, as far as the file names them."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def mix(self) -> Workload:
        """The workload as the models see it: mean rates over the phases."""
        return self.workload.stationary()

    def only(self, names: Iterable[str]) -> Inventory:
        """The inventory without the adapters that are not named."""
        wanted = set(names)
        positions = np.array([i for i, name in enumerate(self.names) if name in wanted], dtype=np.int64)
        return replace(
            self,
            names=tuple(self.names[i] for i in positions),
            sources=tuple(self.sources[i] for i in positions),
            workload=self.workload.take(positions),
        )


def load(path: Path) -> Inventory:
    """Read an inventory.

    Raises:
        InputError: no such file, not TOML, or not an inventory; the message names file, line, key and remedy.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot read the inventory: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); an inventory is a TOML file") from error
    return parse(text, str(path), path.parent)


def parse(text: str, where: str = "inventory", folder: Path = Path()) -> Inventory:
    """Read an inventory from the text of its file; `where` opens every error message.

    Paths of files with lengths are relative to `folder`.

    Raises:
        InputError: as `load`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: not valid TOML: {error}") from error
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, brackets nested as deep
        raise InputError(f"{where}: not readable as TOML: {error}") from error
    try:
        file = File.model_validate(document)
    except ValidationError as error:
        raise InputError(explain(error, File, document, text, where)) from error
    return _expand(file, where, folder)


def _expand(file: File, where: str, folder: Path) -> Inventory:
    rows = file.adapters
    counts = np.array([row.count or 1 for row in rows])
    if (total := int(counts.sum())) > MAX_ADAPTERS:
        raise InputError(f"{where}: {total:,} adapters; at most {MAX_ADAPTERS:,} are allowed in one inventory")
    names = tuple(chain.from_iterable(_names(row) for row in rows))
    if len(set(names)) < total:
        name, times = Counter(names).most_common(1)[0]
        raise InputError(
            f"{where}: {times} adapters are named {name!r}; names must differ, those made by a count included"
        )

    def repeated(values: Iterable[T]) -> tuple[T, ...]:
        return tuple(chain.from_iterable((value,) * (row.count or 1) for value, row in zip(values, rows, strict=True)))

    def column(value: Callable[[Adapter], float]) -> NDArray[np.float64]:
        return np.repeat(np.fromiter(map(value, rows), dtype=np.float64, count=len(rows)), counts)

    tables = _tables(file, where, folder)
    found = {kind: _lengths(file, kind, tables, where) for kind in ("input", "output")}

    def moment(kind: str, name: str) -> NDArray[np.float64]:
        of_table = f"{kind}_{name}"
        values = [getattr(each, of_table if isinstance(each, Table) else name) for each in found[kind]]
        return np.repeat(np.array(values, dtype=np.float64), counts)

    def laws(values: list[T | None]) -> tuple[T | None, ...]:
        return repeated(values) if any(value is not None for value in values) else ()

    def quantiles(kind: str) -> tuple[Quantiles | None, ...]:
        return laws([each if isinstance(each, Quantiles) else None for each in found[kind]])

    gaps = np.array([row.gaps == "lognormal" for row in rows])
    phases = tuple(phase.phase() for phase in file.phases)
    if phases and not any(phase.scale for phase in phases):
        raise InputError(f"{where}: phases: every scale is 0, so nothing ever arrives; one must be above 0")
    workload = Workload(
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
        phases=phases,
    )
    return Inventory(file.model, file.gpu, names, repeated(row.source for row in rows), workload, file.server.named())


def _tables(file: File, where: str, folder: Path) -> list[Table | None]:
    """The table of lengths of each entry, where it has one; a file that many name is read once."""
    common, known = file.lengths, dict[str, Table]()
    if common.file is not None and (common.input or common.output):
        raise InputError(f"{where}: lengths: both file and input or output are given; keep one of them")
    tables: list[Table | None] = []
    for row in file.adapters:
        if row.lengths is not None and (row.input or row.output):
            raise InputError(f"{where}: adapter {row.name!r} has both lengths and input or output; keep one of them")
        name = row.lengths or (None if row.input or row.output else common.file)
        if name is not None and name not in known:
            known[name] = length_file.load(folder / name)
        tables.append(known[name] if name is not None else None)
    return tables


def _lengths(file: File, kind: str, tables: list[Table | None], where: str) -> list[Length | Quantiles | Table]:
    """What each entry's lengths of this kind follow."""
    default: Length | Quantiles | None = getattr(file.lengths, kind)
    found: list[Length | Quantiles | Table] = []
    for row, table in zip(file.adapters, tables, strict=True):
        own = table or getattr(row, kind) or default
        if own is None:
            raise InputError(
                f"{where}: adapter {row.name!r} has no {kind} lengths; "
                f"add {kind} = {{ mean = ..., std = ... }} to it or to [lengths]"
            )
        found.append(own)
    return found


def _names(row: Adapter) -> list[str]:
    return [row.name] if row.count is None else [f"{row.name}-{i}" for i in range(row.count)]
