"""What an answer rests on: which pair, for which vLLM, measured and built when."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Basis:
    """The pair that answers, and where it comes from."""

    pair: str
    """Short name, '<model>--<gpu>'."""
    model: str
    """Hugging Face id, as `vllm serve` takes it."""
    gpu: str
    """Short name of the GPU type."""
    vllm: str
    """The vLLM version that was measured."""
    measured: str
    """Who measured, or on what machine, and when; empty where nobody wrote it down."""
    built: str
    """The day that the pair was built, YYYY-MM-DD; empty where nobody wrote it down."""
    gpus: int = 1
    """That one server spans."""

    @property
    def unit(self) -> str:
        """What serves, as sentences call it: a GPU, or where it takes several of them, their server."""
        return "GPU" if self.gpus == 1 else "server"

    def document(self) -> dict[str, str]:
        """As plain data; how many GPUs a server spans is among the flags."""
        return {name: told for name, told in asdict(self).items() if name != "gpus"}

    def __str__(self) -> str:
        parts = [
            f"for vLLM {self.vllm} on {f'{self.gpus} ' if self.gpus > 1 else ''}{self.gpu}",
            self.measured
            if self.measured.startswith(("measured ", "derived"))
            else f"measured: {self.measured or 'unknown'}",
            f"pair built {self.built}" if self.built else "",
        ]
        return "; ".join(filter(None, parts))
