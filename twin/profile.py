"""The Profile of a pair: the calibrated constants of one LLM on one GPU type under one vLLM version line.

Plain data without heavy imports: the advisor reads the memory limits from it, the twin everything.
A profile is one TOML file; `load`, `parse` and `Profile.to_toml` are its only readers and writer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import tomli
import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twin import lora_kernels
from twin.behaviour import Behaviour
from twin.settings import Settings

NonNegative = Annotated[float, Field(ge=0)]
_MORE_IS_BETTER = {"kv_tokens_base", "kv_tokens_per_utilization"}
"""Of the constants; of all others more is worse: they are times, and memory that is taken."""


class ProfileError(ValueError):
    """A profile file that cannot be read; the message names the file and what is wrong in one line."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Pair(_Section):
    """Which LLM, which GPU, which vLLM."""

    name: str = Field(description="short name, '<model>--<gpu>'")
    model: str = Field(description="Hugging Face id of the LLM")
    gpu: str = Field(description="short name of the GPU type")
    vllm: str = Field(description="vLLM version the measurements are of")


class Provenance(_Section):
    """What a pair was measured on, where we measured it ourselves."""

    machine: str = Field(description="name of the GPU, or of the CPU where vLLM ran on that")
    memory_gib: float = Field(description="its memory")
    driver: str = Field(default="", description="NVIDIA's driver")
    date: str = Field(description="UTC, of the end")
    starts: int = Field(description="servers that were started")
    minutes: float = Field(description="time the measurements took, starts included")
    flags: list[str] = Field(description="of `vllm serve`, but for slots and ranks, which were varied")
    itl_spread_percent: float | None = Field(
        default=None,
        description="how far the ITL of the same requests, sent more than once, lay apart at most: the machine's doing",
    )


class Memory(_Section):
    """KV cache capacity: `base - per_slot_rank * slots * max_rank - per_slot * slots` tokens.

    vLLM reserves the adapter slots before it sizes the KV cache, hence the linear form.
    The server does not start when fewer than `max_model_len` tokens are left.
    """

    kv_tokens_base: float = Field(gt=0, description="KV tokens without any adapter slot, at gpu_memory_utilization")
    kv_tokens_per_slot_rank: NonNegative = Field(description="KV tokens taken by one slot, per unit of max_lora_rank")
    kv_tokens_per_slot: NonNegative = Field(description="KV tokens taken by one slot whatever its rank")
    block_size: int = Field(gt=0, description="tokens per KV block")
    gpu_memory_utilization: float = Field(gt=0, le=1, description="fraction of GPU memory at calibration")
    kv_tokens_per_utilization: NonNegative = Field(
        description="KV tokens gained by raising gpu_memory_utilization by 1.0 (GPU memory / KV bytes per token)"
    )
    max_model_len: int = Field(
        gt=0, description="tokens of the longest sequence: the model's own limit, vLLM's default"
    )

    def kv_capacity_tokens(self, max_loras: int, max_lora_rank: int, gpu_memory_utilization: float) -> int:
        """KV cache capacity in tokens, rounded down to whole blocks; negative where the slots alone do not fit."""
        tokens = (
            self.kv_tokens_base
            - self.kv_tokens_per_slot_rank * max_loras * max_lora_rank
            - self.kv_tokens_per_slot * max_loras
            + self.kv_tokens_per_utilization * (gpu_memory_utilization - self.gpu_memory_utilization)
        )
        return int(tokens // self.block_size) * self.block_size


class Step(_Section):
    """Duration of one engine step in ms, without loading adapters and without scheduling.

    With R running requests that decode, T batched tokens (those R and prompt tokens), A distinct adapters in the batch,
    G slots with r = rank_tiles(max_lora_rank), E = max(T - graph_tokens, 0), and functions of `twin.lora_kernels`:

        base + per_request*R + per_eager_token*E + lora_per_token*T + per_split_token*T*is_split(T)*r
        + (per_slot_shrink*shrink_tiles(T)*r + per_slot_expand*expand_tiles(T))*G
        + (per_adapter + per_adapter_shrink*shrink_work(T)*r + per_adapter_expand*expand_tiles(T))*A

    Up to the largest CUDA graph vLLM captures, 512 tokens, a step replays a graph and its time is that of reading the
    weights; beyond, kernels are launched one by one and arithmetic takes over (on an H100 from some 300 to 500 tokens
    on). The G terms are the thread blocks that LoRA's kernels launch for every slot, whatever the batch uses; the A
    terms what those of a slot in use take beyond that, for their work and for finding that the rest of the batch is not
    theirs; split tokens are summed up in parts, which blocks add to memory one after another.

    Requests that name no adapter are in R and T but in no A, and LoRA's terms per token spare theirs: a kernel's blocks
    are launched for all tokens and every slot, and leave at once where there is nothing for them to multiply. (From
    vLLM 0.11.1 on a step of no adapter at all replays graphs without LoRA; such steps are charged as others.) Without
    LoRA, `lora_base` is saved as well, and G is 0.
    """

    graph_tokens: int = Field(ge=0, description="batched tokens of the largest captured CUDA graph")

    base_ms: NonNegative = Field(description="ms: weights read once, kernel launches")
    lora_base_ms: NonNegative = Field(
        default=0.0,
        description="what of base_ms is LoRA's, however few adapters, slots and tokens there are: a server without "
        "LoRA saves it",
    )
    per_request_ms: NonNegative = Field(description="ms per request that decodes")
    lora_per_token_ms: NonNegative = Field(description="ms per batched token of an adapter: the low-rank products")
    per_adapter_ms: NonNegative = Field(description="ms per distinct adapter in the batch")
    per_adapter_shrink_ms: NonNegative = Field(
        description="ms per such adapter and 16 of max_lora_rank, up to 120 tokens"
    )
    per_adapter_expand_ms: NonNegative = Field(description="ms per such adapter and 64 batched tokens")
    per_slot_shrink_ms: NonNegative = Field(
        description="ms per adapter slot (max_loras), 16 of max_lora_rank, shrink tile"
    )
    per_slot_expand_ms: NonNegative = Field(description="ms per adapter slot and 64 batched tokens")
    per_split_token_ms: NonNegative = Field(description="ms per batched token up to 120 and 16 of max_lora_rank")
    per_eager_token_ms: NonNegative = Field(description="ms per batched token beyond graph_tokens")

    def slot_ms(self, max_lora_rank: int, tokens: float) -> float:
        """What one more adapter slot of that rank adds to a step of so many batched tokens, ms."""
        shrink_ms = self.per_slot_shrink_ms * lora_kernels.rank_tiles(max_lora_rank)
        return float(
            shrink_ms * lora_kernels.shrink_tiles(tokens) + self.per_slot_expand_ms * lora_kernels.expand_tiles(tokens)
        )


LORA_TERMS = tuple(
    name
    for name in Step.model_fields
    if name not in ("graph_tokens", "base_ms", "per_request_ms", "per_eager_token_ms")
)
"""Terms of a step that are LoRA's alone. They go with the number of layers, those of expand with outputs as well."""


class Scheduling(_Section):
    """CPU time between two steps in ms: `base + per_request*R + per_scanned*S + per_arrival*N`.

    S is the number of waiting requests looked at, those passed over for lack of a slot included; N that of the requests
    that have arrived since the step before, whether they are served or must wait: beyond what a server bears, every
    step pays for some that it does not serve.
    """

    base_ms: NonNegative = Field(description="ms per step")
    per_request_ms: NonNegative = Field(description="ms per running request")
    per_scanned_ms: NonNegative = Field(description="ms per waiting request looked at")
    per_arrival_ms: NonNegative = Field(
        default=0.0,
        description="ms per request that arrives: its message is read, which holds up Python's one lock in the engine, "
        "and where the API server has no core to itself, prompt and connection, too",
    )


class Loading(_Section):
    """Time to bring one adapter into a slot, linear in its rank; synchronous inside the step."""

    memory_base_ms: NonNegative = Field(description="ms, host memory to GPU slot")
    memory_per_rank_ms: NonNegative = Field(description="ms per unit of rank, host memory to GPU slot")
    disk_base_ms: NonNegative = Field(description="ms, disk to host memory")
    disk_per_rank_ms: NonNegative = Field(description="ms per unit of rank, disk to host memory")


class FrontEnd(_Section):
    """What the API server and the client add to the engine's own times.

    The client's mean ITL exceeds its mean time per token, as if tokens of several steps came as one, in batches of up
    to 128 requests and the more, the more adapters come and go: of A in the batch and N served, A*(1 - A/N) can.
    That is what the measured hours show. Inferred, not watched: being asked for metrics, of which vLLM 0.8 keeps a time
    series for every set of adapters it ever had in a batch, holds the API server up; beyond 128 requests it hands
    outputs out in portions (VLLM_V1_OUTPUT_PROC_CHUNK_SIZE), between which they get through.

    So the API server stalls for the share m = x / (1 + x) of the time, x = merged_per_adapter * A*(1 - A/N): once in
    `stall_every_s`, each time for an exponential length of m * stall_every_s on average. Tokens that come meanwhile are
    there at its end, in up to merge_requests as one piece; a request that comes meanwhile is let in at its end. With
    nothing but the length of that interval fitted, to the mean TTFT of hours in which nothing waits, this also gives
    the measured P99 of ITL and TTFT.
    """

    ttft_ms: NonNegative = Field(description="ms added to every time to first token")
    merged_per_adapter: NonNegative = Field(
        description="share of the tokens that reach the client merged with the one before, per adapter that comes and "
        "goes, in steps of up to merge_requests"
    )
    merge_requests: int = Field(ge=0, description="running requests up to which tokens are merged")
    stall_every_s: NonNegative = Field(
        default=0.0, description="s from one stall to the next; 0 where nobody knows: then only the mean ITL shows them"
    )


class Serving(_Section):
    """Server settings that the pair was measured under; the defaults of a simulation."""

    max_num_seqs: int = Field(gt=0, description="running requests at most")
    max_num_batched_tokens: int = Field(gt=0, description="token budget of a step")
    enable_prefix_caching: bool = Field(default=False, description="whether requests that begin alike share KV blocks")


class Fit(_Section):
    """How well one of the sections explains its data."""

    rows: int = Field(gt=0, description="measurements fitted")
    mape_percent: NonNegative = Field(description="mean absolute relative residual, %")
    p95_percent: NonNegative = Field(description="95th percentile of the absolute relative residual, %")
    contributions: dict[str, float] = Field(default={}, description="ms of each term in a step, mean over the data")
    range: dict[str, tuple[float, float]] = Field(description="range of each variable in the data")
    source: str = Field(description="where the data came from")
    note: str = Field(default="", description="what was assumed")


class Derivation(_Section):
    """Of constants that were computed, not measured: how far they may be off, and where they come from."""

    gpus: int = Field(default=1, ge=1, description="that a server spans (tensor_parallel_size)")
    weights: str = Field(description="what the weights are packed into: bf16, fp8, int4")
    packed: bool = Field(default=False, description="whether the checkpoint holds them so, as it says itself")
    kv_cache: str = Field(default="bf16", description="what the KV cache holds: bf16, fp8")
    parameters: int = Field(default=0, ge=0, description="of the model's shape; 0 where an older version derived it")
    windowed_layers: int = Field(
        default=0,
        ge=0,
        description="layers that look back over a window only, counted as if they looked back all the way",
    )
    intervals: dict[str, tuple[float, float]] = Field(
        description="lowest and highest likely value of a constant, by 'section.name'"
    )
    sources: dict[str, str] = Field(description="where a constant comes from, in the same way")
    notes: list[str] = Field(default=[], description="what was left out of account")


class Profile(_Section):
    """All calibrated constants of a pair, with their provenance."""

    pair: Pair
    provenance: Provenance | None = Field(default=None, description="None: see the sources of `fits`")
    memory: Memory
    step: Step
    scheduling: Scheduling
    loading: Loading
    front_end: FrontEnd
    serving: Serving
    behaviour: Behaviour
    fits: dict[str, Fit] = Field(description="one entry per fitted section")
    derivation: Derivation | None = Field(default=None, description="None: everything was measured")
    command: str = Field(description="the command that made this file")

    def settings(
        self,
        *,
        max_loras: int,
        max_cpu_loras: int,
        max_lora_rank: int,
        others: Mapping[str, int | float] | None = None,
    ) -> Settings:
        """Settings of a server: those named, and of the `others` that are not, what the pair was measured under.

        Raises:
            ValueError: vLLM refuses them.
        """
        measured = {
            "max_num_seqs": self.serving.max_num_seqs,
            "max_num_batched_tokens": self.serving.max_num_batched_tokens,
            "gpu_memory_utilization": self.memory.gpu_memory_utilization,
            "max_model_len": self.memory.max_model_len,
            "enable_prefix_caching": self.serving.enable_prefix_caching,
        }
        settings = Settings(
            max_loras=max_loras,
            max_cpu_loras=max_cpu_loras,
            max_lora_rank=max_lora_rank,
            **(measured | dict(others or {})),  # type: ignore[arg-type]
        )
        if settings.max_model_len > self.memory.max_model_len:
            raise ValueError(
                f"max_model_len ({settings.max_model_len}) must be at most {self.memory.max_model_len}, the longest "
                f"sequence of {self.pair.model}"
            )
        return settings

    def pessimistic(self) -> Profile:
        """The same with every constant at the end of its interval that serves less; itself where all was measured."""
        if self.derivation is None:
            return self
        sections = self.model_dump()
        for place, (low, high) in self.derivation.intervals.items():
            section, name = place.split(".")
            sections[section][name] = low if name in _MORE_IS_BETTER else high
        return Profile.model_validate(sections)

    def without_lora(self) -> Profile:
        """The same with LoRA off: nothing that it costs per step, adapter, slot or token, no slots and no loading."""
        step, memory, loading = self.step, self.memory, self.loading
        step = step.model_copy(update={**dict.fromkeys(LORA_TERMS, 0.0), "base_ms": step.base_ms - step.lora_base_ms})
        memory = memory.model_copy(update={"kv_tokens_per_slot_rank": 0.0, "kv_tokens_per_slot": 0.0})
        loading = loading.model_copy(update=dict.fromkeys(Loading.model_fields, 0.0))
        return self.model_copy(update={"step": step, "memory": memory, "loading": loading})

    def to_toml(self) -> str:
        """The profile as the text of its TOML file."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_defaults=True))


def load(path: Path) -> Profile:
    """Read a profile.

    Raises:
        ProfileError: no such file, not TOML, or not a profile.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProfileError(f"{path}: cannot read the profile: {error.strerror}") from error
    return parse(data, str(path))


def parse(data: bytes, where: str) -> Profile:
    """Read a profile from the bytes of its file; `where` opens every error message.

    Raises:
        ProfileError: not TOML, or not a profile.
    """
    try:
        return Profile.model_validate(tomli.loads(data.decode()))
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{where}: not valid TOML: {error}") from error
    except (ValueError, RecursionError) as error:
        if not isinstance(error, ValidationError):  # an integer of thousands of digits, brackets nested as deep
            raise ProfileError(f"{where}: not readable as TOML: {error}") from error
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ProfileError(f"{where}: {place}: {first['msg']}") from error
