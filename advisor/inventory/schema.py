"""What an inventory file may hold, key by key.

The descriptions of the fields complete the sentence "it must be ...", which is what a user reads.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, PlainValidator

from advisor.inventory.document import shown
from advisor.inventory.engine import EngineKeys
from advisor.inventory.validation import RefusedError
from twin.arrivals import Phase
from twin.lengths import Quantiles
from twin.settings import LORA_RANKS

MAX_ADAPTERS = 100_000
MAX_GPUS = 100_000
MAX_PRICE = 1e6
MAX_RANK = LORA_RANKS[-1]
MIN_RATE = 1e-9
"""Requests/s, one in 30 years: whoever means none writes 0; less would only strain the arithmetic."""
MAX_RATE = 1_000.0
MIN_SCALE = 1e-6
"""Of a phase's rates, where it is not 0; for the same reason."""
MAX_TOKENS = 10_000_000
MAX_REQUESTS = 10**12
MAX_HOST_GIB = 1_000_000
MAX_SECONDS = 31_622_400
"""A leap year."""

Text = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*\z")]
Count = Annotated[int, Field(ge=1, le=MAX_TOKENS)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Gaps = Literal["gamma", "lognormal"]

_CV = "from 0.01 to 100; 1 is Poisson"
_GAPS = '"gamma" or "lognormal"'
_TOKENS = f"tokens per request, 1 to {MAX_TOKENS:,}"
_PERCENTILE = re.compile("p[1-9][0-9]?")
_LIKE_PERCENTILE = re.compile("[pP][0-9]+")


def _slot_rank(rank: int) -> int:
    if rank not in LORA_RANKS:
        raise ValueError("not a rank that vLLM has slots for")
    return rank


def _zero_or(least: float) -> AfterValidator:
    def check(value: float) -> float:
        if 0 < value < least:
            raise ValueError("too small to be meant")
        return abs(value)  # no -0.0

    return AfterValidator(check)


SlotRank = Annotated[int, AfterValidator(_slot_rank)]
Rate = Annotated[Number, _zero_or(MIN_RATE)]
Scale = Annotated[Number, _zero_or(MIN_SCALE)]


class _Section(BaseModel):
    # The sections are built as parts of the whole file, and by themselves only where somebody reads them by themselves.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class Length(_Section):
    """Tokens per request, by mean and spread."""

    mean: Number = Field(ge=1, le=MAX_TOKENS, description=_TOKENS)
    std: Number = Field(ge=0, le=MAX_TOKENS, description=f"the spread in tokens, 0 to {MAX_TOKENS:,}")


_MEAN_AND_SPREAD = frozenset(Length.model_fields)


def _length(given: Any) -> Length | Quantiles:
    """A table of lengths: quantiles where it names any, else mean and spread."""
    by_mean = not isinstance(given, dict) or given.keys() <= _MEAN_AND_SPREAD
    if by_mean or not any(map(_LIKE_PERCENTILE.fullmatch, given)):
        return Length.model_validate(given)
    if both := given.keys() & _MEAN_AND_SPREAD:
        raise RefusedError("both quantiles and mean or std are given; keep one of them", both.pop())
    for key, tokens in given.items():
        if not _PERCENTILE.fullmatch(key):
            raise RefusedError(
                f"unknown key {shown(key)}; valid keys are mean and std, or two or more of p1 to p99", key
            )
        if isinstance(tokens, bool) or not isinstance(tokens, int | float) or not 1 <= tokens <= MAX_TOKENS:
            raise RefusedError(f"{key} is {shown(tokens)}, but must be {_TOKENS}", key)
    if len(given) < 2:
        raise RefusedError(
            "a single quantile; two or more are needed, such as { p50 = 120, p95 = 800 }, or mean and std"
        )
    return _quantiles(tuple(sorted((int(key[1:]), float(tokens)) for key, tokens in given.items())))


@lru_cache(maxsize=1024)
def _quantiles(percentiles: tuple[tuple[int, float], ...]) -> Quantiles:
    """The law with these quantiles, one object for all that are alike."""
    for (low, below), (high, above) in pairwise(percentiles):
        if above < below:
            raise RefusedError(
                f"p{high} is {above:g}, below the {below:g} of p{low}; quantiles must not fall", f"p{high}"
            )
    return Quantiles.of({percent / 100: tokens for percent, tokens in percentiles})


AnyLength = Annotated[Length | Quantiles, PlainValidator(_length)]

_SHARED_PREFIX = Field(
    default=None,
    ge=0,
    le=MAX_TOKENS,
    description="a whole number of tokens that all prompts of the adapter begin with, fewer than its input has",
)

_LENGTH = Field(
    default=None,
    description="a table { mean = tokens, std = tokens }, or of two or more quantiles { p50 = tokens, p95 = tokens } "
    "that do not fall",
)


_TABLE = Field(default=None, description="the path of a CSV or JSONL file with input and output tokens")
_RATE = f"a number of requests per second, {MIN_RATE:g} to {MAX_RATE:,.0f}, or 0"


class Lengths(_Section):
    """Request lengths of every adapter that does not bring its own."""

    input: AnyLength | None = _LENGTH
    output: AnyLength | None = _LENGTH
    file: Text | None = _TABLE
    correlation: Number = Field(default=0.0, ge=-1, le=1, description="from -1 to 1")
    shared_prefix: int | None = _SHARED_PREFIX


class Adapter(_Section):
    """One entry of the inventory: an adapter, or `count` alike."""

    name: Text = Field(description="a text of 1 to 512 characters, none of them NUL")
    rank: int = Field(ge=1, le=MAX_RANK, description=f"a whole number from 1 to {MAX_RANK}, the largest vLLM takes")
    rate: Rate = Field(ge=0, le=MAX_RATE, description=f"{_RATE}: registered, hardly asked")
    count: int | None = Field(
        default=None, ge=1, le=MAX_ADAPTERS, description=f"a whole number from 1 to {MAX_ADAPTERS:,}"
    )
    input: AnyLength | None = _LENGTH
    output: AnyLength | None = _LENGTH
    lengths: Text | None = _TABLE
    shared_prefix: int | None = _SHARED_PREFIX
    gaps: Gaps = Field(default="gamma", description=_GAPS)
    cv: Number = Field(default=1.0, ge=0.01, le=100, description=_CV)
    source: Text | None = Field(default=None, description="the path or hub id the adapter is loaded from")
    together: Text | None = Field(
        default=None, description="a text that names a group of adapters that are asked at the same moment"
    )
    target_modules: list[Text] | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description='a list of the modules that it touches, such as ["q_proj", "v_proj"]',
    )
    gpu: int | None = Field(
        default=None,
        ge=0,
        lt=MAX_GPUS,
        description="a whole number: the GPU that `advisor place` puts it on, counted from 0",
    )
    apart: Text | None = Field(
        default=None, description="a text that names a group of adapters, no two of which are put on one GPU"
    )
    replicas: int | None = Field(
        default=None,
        ge=1,
        le=MAX_GPUS,
        description=f"a whole number from 1 to {MAX_GPUS:,}: the GPUs it is put on, which share its requests",
    )

    @property
    def names(self) -> list[str]:
        """The names of the adapters that the entry stands for."""
        return [self.name] if self.count is None else [f"{self.name}-{i}" for i in range(self.count)]


class Base(_Section):
    """Requests that name no adapter."""

    rank: ClassVar[int] = 0
    count: ClassVar[None] = None

    rate: Rate = Field(ge=0, le=MAX_RATE, description=f"{_RATE}: none")
    input: AnyLength | None = _LENGTH
    output: AnyLength | None = _LENGTH
    lengths: Text | None = _TABLE
    shared_prefix: int | None = _SHARED_PREFIX
    gaps: Gaps = Field(default="gamma", description=_GAPS)
    cv: Number = Field(default=1.0, ge=0.01, le=100, description=_CV)


class ReplayedBase(Base):
    """Requests that name no adapter and come from a log."""

    rate: Rate = Field(default=0.0, ge=0, le=MAX_RATE, description=Base.model_fields["rate"].description)


class ReplayedAdapter(Adapter):
    """An adapter whose requests come from a log."""

    rate: Rate = Field(default=0.0, ge=0, le=MAX_RATE, description=Adapter.model_fields["rate"].description)


class PhaseEntry(_Section):
    """A stretch of time in which rates are scaled, and gaps may be others."""

    duration: Number = Field(ge=10, le=MAX_SECONDS, description=f"a number of seconds, 10 to {MAX_SECONDS:,}")
    scale: Scale = Field(default=1.0, ge=0, le=1000, description=f"a factor on every rate, 0 or {MIN_SCALE:g} to 1,000")
    gaps: Gaps | None = Field(default=None, description=_GAPS)
    cv: Number | None = Field(default=None, ge=0.01, le=100, description=_CV)

    def phase(self) -> Phase:
        """The phase in the twin's terms."""
        return Phase(self.duration, self.scale, self.cv, None if self.gaps is None else self.gaps == "lognormal")


class GpuEntry(_Section):
    """A GPU type that servers may run on."""

    type: Text = Field(description='the short name of a GPU type, such as "h100-64gb"')
    price: Number | None = Field(
        default=None, gt=0, le=MAX_PRICE, description=f"what one costs in an hour, above 0 and up to {MAX_PRICE:,.0f}"
    )
    at_most: int | None = Field(
        default=None, ge=1, le=MAX_GPUS, description=f"a whole number from 1 to {MAX_GPUS:,}: how many there are"
    )


_COUNT = Field(default=None, description=f"a whole number from 1 to {MAX_TOKENS:,}")


class SettingsTable(_Section):
    """Settings of a server in vLLM's own names, as far as the file names them."""

    max_loras: Count | None = _COUNT
    max_cpu_loras: Count | None = _COUNT
    max_lora_rank: SlotRank | None = Field(default=None, description=f"one of {', '.join(map(str, LORA_RANKS))}")
    max_num_seqs: Count | None = _COUNT
    max_num_batched_tokens: Count | None = _COUNT
    gpu_memory_utilization: Number | None = Field(default=None, gt=0, le=1, description="above 0 and at most 1")
    max_model_len: Count | None = _COUNT

    def named(self) -> dict[str, int | float]:
        """The settings that the file names."""
        return self.model_dump(exclude_none=True)


class ServerTable(SettingsTable):
    """Settings of the server in force today."""

    enable_prefix_caching: bool | None = Field(
        default=None, description="true or false: whether requests that begin alike share KV blocks"
    )


class File(EngineKeys):
    """The whole file."""

    gpus: list[GpuEntry] = Field(
        default=[], max_length=100, description="at most 100 [[gpus]] entries, each with a type, price and at_most"
    )
    host_memory_gib: Number | None = Field(
        default=None,
        gt=0,
        le=MAX_HOST_GIB,
        description="above 0: GiB of the host's memory that one server's adapters may take, which bounds max_cpu_loras",
    )
    counted_requests: int | None = Field(
        default=None,
        ge=1,
        le=MAX_REQUESTS,
        description="a whole number of requests, 1 and more: those that the rates were counted from, where they were",
    )
    dynamic: bool = Field(
        default=False, description="true or false: whether adapters are loaded and unloaded while the server runs"
    )
    lengths: Lengths = Field(default=Lengths(), description="a table with input, output and correlation, or file")
    # FailFast: one error is reported, so one is enough to find.
    adapters: Annotated[list[Adapter], FailFast()] = Field(
        min_length=1,
        max_length=MAX_ADAPTERS,
        description=f"1 to {MAX_ADAPTERS:,} [[adapters]] entries, each with name, rank and rate",
    )
    base: Base | None = Field(
        default=None, description="a table with the rate of requests that name no adapter, and lengths as adapters have"
    )
    phases: list[PhaseEntry] = Field(
        default=[], max_length=1000, description="at most 1,000 [[phases]] entries, each with a duration"
    )
    server: ServerTable = Field(default=ServerTable(), description="a table of vLLM settings, such as max_loras")
    fixed: SettingsTable = Field(
        default=SettingsTable(), description="a table of vLLM settings that must stay, such as gpu_memory_utilization"
    )


class ReplayFile(File):
    """A file that is read for a replay: who the adapters are, whatever their traffic."""

    adapters: Annotated[list[ReplayedAdapter], FailFast()] = Field(  # type: ignore[assignment]  # read, never changed
        min_length=1,
        max_length=MAX_ADAPTERS,
        description=f"1 to {MAX_ADAPTERS:,} [[adapters]] entries, each with name and rank",
    )
    base: ReplayedBase | None = Field(default=None, description=File.model_fields["base"].description)
