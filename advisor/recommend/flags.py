"""The launch settings a recommendation consists of, under vLLM's names."""

from __future__ import annotations

from dataclasses import dataclass, fields

from twin.server import Server


@dataclass(frozen=True, slots=True)
class Flags:
    """Settings of one vLLM server, as recommended."""

    max_loras: int
    """Adapter slots G."""
    max_cpu_loras: int
    """Adapters held in host memory: all served ones."""
    max_lora_rank: int
    """Rank every slot is sized for."""
    max_num_seqs: int
    """Running requests at most."""
    max_num_batched_tokens: int
    """Token budget of a step."""
    gpu_memory_utilization: float
    """Fraction of the GPU's memory vLLM may take."""
    max_model_len: int | None = None
    """Longest sequence in tokens; None: the model's own default."""

    def settings(self) -> dict[str, int | float]:
        """The settings that are set, by vLLM's name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def args(self) -> list[str]:
        """The settings as arguments of `vllm serve`, LoRA switched on."""
        return ["--enable-lora", *(f"--{name.replace('_', '-')}={value}" for name, value in self.settings().items())]

    def server(self, default_max_model_len: int) -> Server:
        """The settings as the twin takes them."""
        return Server(**{"max_model_len": default_max_model_len, **self.settings()})  # type: ignore[arg-type]
