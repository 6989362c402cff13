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

    def document(self) -> dict[str, str]:
        """As plain data."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [
            f"for vLLM {self.vllm} on {self.gpu}",
            self.measured
            if self.measured.startswith(("measured ", "derived"))
            else f"measured: {self.measured or 'unknown'}",
            f"pair built {self.built}" if self.built else "",
        ]
        return "; ".join(filter(None, parts))
