"""The launch settings of a vLLM server, under vLLM's own names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM accepts for `--max-lora-rank`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Launch settings of one vLLM server on one GPU.

    Raises:
        ValueError: settings that vLLM refuses.
    """

    max_loras: int
    """Adapter slots G: adapters resident on the GPU at once; 0: LoRA is off, and all requests go to the base model."""
    max_cpu_loras: int
    """Adapters held in host memory; at least `max_loras`."""
    max_lora_rank: int
    """Rank every slot is sized for; one of `LORA_RANKS`."""
    max_num_seqs: int
    """Running requests at most."""
    max_num_batched_tokens: int
    """Token budget of a step."""
    gpu_memory_utilization: float
    """Fraction of the GPU's memory vLLM may take."""
    max_model_len: int
    """Longest sequence in tokens; the KV cache must hold one such request or the server does not start."""
    enable_prefix_caching: bool = False
    """Whether requests that begin alike share KV blocks, as they do by default in vLLM."""

    def __post_init__(self) -> None:
        if self.max_loras < 0:
            raise ValueError(f"max_loras must be at least 1, not {self.max_loras}")
        if self.max_cpu_loras < self.max_loras:
            raise ValueError(f"max_cpu_loras ({self.max_cpu_loras}) must be at least max_loras ({self.max_loras})")
        if self.max_lora_rank not in LORA_RANKS:
            raise ValueError(f"max_lora_rank must be one of {LORA_RANKS}, not {self.max_lora_rank}")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError(
                f"max_num_batched_tokens ({self.max_num_batched_tokens}) must be at least "
                f"max_num_seqs ({self.max_num_seqs})"
            )

    def without_lora(self) -> Settings:
        """The same server with LoRA off."""
        return replace(self, max_loras=0, max_cpu_loras=0)

    def flags(self, model_max_len: int) -> dict[str, int | float]:
        """By vLLM's names; `max_model_len` only where it is not the model's own, which vLLM takes anyway.

        Prefix caching is left as vLLM has it: it is what simulations go by, not what is recommended.
        """
        named: dict[str, int | float] = asdict(self)
        del named["enable_prefix_caching"]
        if self.max_model_len == model_max_len:
            del named["max_model_len"]
        return named


def arguments(flags: Mapping[str, int | float | str]) -> list[str]:
    """Flags as arguments of `vllm serve`, LoRA switched on."""
    return ["--enable-lora", *(f"--{name.replace('_', '-')}={value}" for name, value in flags.items())]


def slot_rank(largest: float) -> int:
    """The smallest `max_lora_rank` that takes an adapter of rank `largest`.

    Raises:
        ValueError: vLLM has no slots for such a rank.
    """
    for rank in LORA_RANKS:
        if rank >= largest:
            return rank
    raise ValueError(f"rank {largest:g} is above {LORA_RANKS[-1]}, the largest that vLLM has slots for")
