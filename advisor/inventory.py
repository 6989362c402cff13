"""The inventory: which adapters are to be served, how often they are asked and how long their requests are.

`load` reads `inventory.toml`; everything in it is checked here, so that no later stage meets a bad number.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, ValidationError

from advisor.complaint import explain
from advisor.errors import InputError
from advisor.mix import Mix
from twin.server import LORA_RANKS

MAX_ADAPTERS = 100_000
MAX_RANK = 512
MAX_RATE = 1_000.0
MAX_TOKENS = 10_000_000

Text = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*\z")]
Count = Annotated[int, Field(ge=1, le=MAX_TOKENS)]
Number = Annotated[float, Field(allow_inf_nan=False)]


def _slot_rank(rank: int) -> int:
    if rank not in LORA_RANKS:
        raise ValueError("not a rank that vLLM has slots for")
    return rank


SlotRank = Annotated[int, AfterValidator(_slot_rank)]


class _Section(BaseModel):
    """The descriptions of the fields complete the sentence "it must be ...", which is what a user reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Length(_Section):
    """Tokens per request."""

    mean: Number = Field(ge=1, le=MAX_TOKENS, description=f"tokens per request, 1 to {MAX_TOKENS:,}")
    std: Number = Field(ge=0, le=MAX_TOKENS, description=f"the spread in tokens, 0 to {MAX_TOKENS:,}")


_LENGTH = Field(default=None, description="a table { mean = tokens, std = tokens }")


class Lengths(_Section):
    """Request lengths of every adapter that does not bring its own."""

    input: Length | None = _LENGTH
    output: Length | None = _LENGTH
    correlation: Number = Field(default=0.0, ge=-1, le=1, description="from -1 to 1")


class Adapter(_Section):
    """One entry of the inventory: an adapter, or `count` alike."""

    name: Text = Field(description="a text of 1 to 512 characters, none of them NUL")
    rank: int = Field(ge=1, le=MAX_RANK, description=f"a whole number from 1 to {MAX_RANK}, the largest vLLM takes")
    rate: Number = Field(
        gt=0, le=MAX_RATE, description=f"a number of requests per second, above 0 and at most {MAX_RATE:,.0f}"
    )
    count: int | None = Field(
        default=None, ge=1, le=MAX_ADAPTERS, description=f"a whole number from 1 to {MAX_ADAPTERS:,}"
    )
    input: Length | None = _LENGTH
    output: Length | None = _LENGTH
    cv: Number = Field(default=1.0, ge=0.01, le=100, description="from 0.01 to 100; 1 is Poisson")
    source: Text | None = Field(default=None, description="the path or hub id the adapter is loaded from")


_COUNT = Field(default=None, description=f"a whole number from 1 to {MAX_TOKENS:,}")


class Settings(_Section):
    """Settings in force today, in vLLM's own names; None where the inventory does not say."""

    max_loras: Count | None = _COUNT
    max_cpu_loras: Count | None = _COUNT
    max_lora_rank: SlotRank | None = Field(default=None, description=f"one of {', '.join(map(str, LORA_RANKS))}")
    max_num_seqs: Count | None = _COUNT
    max_num_batched_tokens: Count | None = _COUNT
    gpu_memory_utilization: Number | None = Field(default=None, gt=0, le=1, description="above 0 and at most 1")
    max_model_len: Count | None = _COUNT


class _File(_Section):
    model: Text = Field(description='a Hugging Face id or short name, such as "meta-llama/Llama-3.1-8B-Instruct"')
    gpu: Text = Field(description='the short name of a GPU type, such as "h100-64gb"')
    lengths: Lengths = Field(default=Lengths(), description="a table with input, output and correlation")
    # FailFast: one error is reported, so one is enough to find.
    adapters: Annotated[list[Adapter], FailFast()] = Field(
        min_length=1,
        max_length=MAX_ADAPTERS,
        description=f"1 to {MAX_ADAPTERS:,} [[adapters]] entries, each with name, rank and rate",
    )
    server: Settings = Field(default=Settings(), description="a table of vLLM settings, such as max_loras")


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
    mix: Mix
    """Ranks, rates and lengths of the adapters, in the order of `names`."""
    correlation: float
    """Of input and output lengths."""
    server: Settings
    """Settings in force today."""

    def __len__(self) -> int:
        return len(self.names)

    def only(self, names: Iterable[str]) -> Inventory:
        """The inventory without the adapters that are not named."""
        wanted = set(names)
        positions = np.array([i for i, name in enumerate(self.names) if name in wanted], dtype=np.int64)
        return replace(
            self,
            names=tuple(self.names[i] for i in positions),
            sources=tuple(self.sources[i] for i in positions),
            mix=self.mix.take(positions),
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
    return parse(text, str(path))


def parse(text: str, where: str = "inventory") -> Inventory:
    """Read an inventory from the text of its file; `where` opens every error message.

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
        file = _File.model_validate(document)
    except ValidationError as error:
        raise InputError(explain(error, _File, document, text, where)) from error
    return _expand(file, where)


def _expand(file: _File, where: str) -> Inventory:
    rows = file.adapters
    counts = np.array([row.count or 1 for row in rows])
    if (total := int(counts.sum())) > MAX_ADAPTERS:
        raise InputError(f"{where}: {total:,} adapters; at most {MAX_ADAPTERS:,} are allowed in one inventory")

    def column(value: Callable[[Adapter], float]) -> NDArray[np.float64]:
        return np.repeat(np.fromiter(map(value, rows), dtype=np.float64, count=len(rows)), counts)

    def lengths(kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        default: Length | None = getattr(file.lengths, kind)
        found = [cast(Length | None, getattr(row, kind)) or default for row in rows]
        if None in found:
            name = rows[found.index(None)].name
            raise InputError(
                f"{where}: adapter {name!r} has no {kind} lengths; "
                f"add {kind} = {{ mean = ..., std = ... }} to it or to [lengths]"
            )
        known = cast(list[Length], found)
        return (
            np.repeat(np.array([length.mean for length in known], dtype=np.float64), counts),
            np.repeat(np.array([length.std for length in known], dtype=np.float64), counts),
        )

    names = tuple(chain.from_iterable(_names(row) for row in rows))
    if len(set(names)) < total:
        name, times = Counter(names).most_common(1)[0]
        raise InputError(
            f"{where}: {times} adapters are named {name!r}; names must differ, those made by a count included"
        )
    mix = Mix(
        column(lambda row: row.rank),
        column(lambda row: row.rate),
        *lengths("input"),
        *lengths("output"),
        column(lambda row: row.cv),
    )
    sources = tuple(chain.from_iterable((row.source,) * (row.count or 1) for row in rows))
    return Inventory(file.model, file.gpu, names, sources, mix, file.lengths.correlation, file.server)


def _names(row: Adapter) -> list[str]:
    return [row.name] if row.count is None else [f"{row.name}-{i}" for i in range(row.count)]
