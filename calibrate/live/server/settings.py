"""What a vLLM server is started with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class LaunchSettings:
    """vLLM's flags by their own names; None leaves a setting to vLLM.

    `twin.settings.Settings` is all that decides how a server behaves; here LoRA may be off, too, and a flag unknown.
    """

    max_loras: int = 1
    """Adapter slots; 0 starts a server without LoRA."""
    max_lora_rank: int = 16
    max_cpu_loras: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    max_model_len: int | None = None
    """Tokens."""
    gpu_memory_utilization: float | None = None
    dtype: str | None = None
    load_format: str | None = None
    """`dummy` serves random weights of the model's shape, for which its `config.json` and tokenizer are enough."""
    enable_prefix_caching: bool | None = None
    enforce_eager: bool | None = None
    extra: tuple[str, ...] = ()
    """Further arguments, as on a command line."""

    def arguments(self) -> list[str]:
        """The arguments of `vllm serve` after the model."""
        return [*self._flags(), *self.extra]

    def _flags(self) -> Iterator[str]:
        lora = self.max_loras > 0
        if lora:
            yield "--enable-lora"
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "extra" or value is None or ("lora" in field.name and not lora):
                continue
            flag = field.name.replace("_", "-")
            if isinstance(value, bool):
                yield f"--{flag}" if value else f"--no-{flag}"
            else:
                yield f"--{flag}={value}"
