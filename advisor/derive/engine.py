"""How a model is run: vLLM's engine arguments that decide which Profile answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from advisor.derive.gpus.gpu import OwnGpu
from advisor.derive.llm.packing import PRECISIONS, WHILE_LOADING, Quantization
from advisor.errors import InputError

Generation = Literal["0.8.5", "current"]
"""LoRA's costs changed with vLLM's kernels: 0.8.5 was measured on a server, of current versions the kernels alone."""
KvDtype = Literal["auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2"]
CURRENT = "0.33.0"
"""The version that is meant where nobody says one, unless another was measured."""
WIDE = 2.0
"""Bytes of a number in 16 bits."""
MEASURED, FIRST_CURRENT = (0, 8), (0, 9)
"""From the second version on LoRA's kernels and the engine are those of current vLLMs; before, those measured."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What decides on a Profile beside model and GPU type."""

    tensor_parallel: int | None = None
    """GPUs that a server spans; None where nobody says: one."""
    quantization: Quantization | None = None
    kv_cache_dtype: KvDtype | None = None
    vllm: str | None = None
    """The version, as somebody wrote it; None for the one that was measured, or else a current one."""
    config: Path | None = None
    """The model's config.json, where the catalogue may lack it."""
    gpu: OwnGpu | None = None
    """Figures of a GPU that the catalogue lacks."""

    @property
    def gpus(self) -> int:
        """That a server spans."""
        return self.tensor_parallel or 1

    @property
    def kv_bytes(self) -> float:
        """Of a number in the KV cache."""
        return 1.0 if (self.kv_cache_dtype or "").startswith("fp8") else WIDE

    def runs(self, vllm: str) -> bool:
        """Whether a vLLM of this version is one that it may be."""
        return self.vllm is None or is_current(self.vllm) == is_current(vllm)

    def quantization_is(self, weights: str) -> bool:
        """Whether what it says of the weights is that they are of so many bits."""
        return self.quantization is None or PRECISIONS.get(self.quantization, weights) == weights

    def flags(self) -> dict[str, int | str]:
        """What vLLM has to be told of it, by vLLM's names."""
        found: dict[str, int | str] = {}
        if self.gpus > 1:
            found["tensor_parallel_size"] = self.gpus
        if self.quantization is not None:
            found["quantization"] = self.quantization
        if self.kv_cache_dtype not in (None, "auto"):
            found["kv_cache_dtype"] = str(self.kv_cache_dtype)
        return found

    def notes(self, model: str, weights: str, *, packed: bool) -> Iterator[str]:
        """What whoever launches a model should know whose weights are of so many bits, and whose checkpoint is said to
        be `packed` so or not.
        """
        if self.vllm is not None and is_current(self.vllm) and _is_newer(self.vllm):
            yield f"vLLM {self.vllm} is newer than {CURRENT}, the newest that is known here, and taken to be like it"
        method = self.quantization
        if not packed and (weights == "int4" if method is None else method not in WHILE_LOADING):
            bare = model.rstrip("/").rpartition("/")[2]
            like = "FP8" if weights == "fp8" else "GPTQ-Int4" if (method or "").startswith("gptq") else "AWQ"
            why = "the weights are taken as 4-bit integers"
            if method is not None:
                why = f"vLLM packs no weights into {method} while it loads them"
            yield (
                f"{why}: the model has to be a checkpoint that is packed so, such as one called {bare}-{like}, which "
                f"the name {model} does not say"
            )
        if method in ("awq", "gptq"):
            yield (
                f"quantization {method} makes vLLM take that method's own kernels; left out, it finds the method in "
                "the checkpoint and takes the faster Marlin kernels, which the figures are of"
            )
        if method == "bitsandbytes":
            yield "bitsandbytes unpacks weights at every step, which takes longer than the 4-bit kernels derived here"


PLAIN = Engine()
"""One GPU, 16 bits, and nothing said of the version."""


def _is_newer(vllm: str) -> bool:
    """Whether a version of the current generation is of a later release than those that are known."""
    from packaging.version import Version

    return Version(vllm).release[:2] > Version(CURRENT).release[:2]


def is_current(vllm: str, since: tuple[int, int] = FIRST_CURRENT) -> bool:
    """Whether a version is of the current generation, not of the one that was measured (0.8); or of a later release.

    Raises:
        InputError: no version, or an older one.
    """
    from packaging.version import InvalidVersion, Version  # only for those who name a version

    try:
        release = Version(vllm).release
    except InvalidVersion:
        raise InputError(f"{vllm!r} is not a version of vLLM, such as 0.33") from None
    if release < MEASURED:
        raise InputError(f"vLLM {vllm} is older than 0.8, of which nothing is known")
    return release >= since
