"""GPUs: what their data sheets say, and how much of that vLLM's kernels get out of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import tomli
from pydantic import BaseModel, ConfigDict, Field

from advisor.errors import InputError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1.5, allow_inf_nan=False)]
Precision = Literal["bf16", "fp8", "int4"]
"""Of weights: int4 stands for AWQ, GPTQ and bitsandbytes, whose kernels multiply in bf16."""
WEIGHT_BYTES: Mapping[Precision, float] = {"bf16": 2.0, "fp8": 1.0, "int4": 0.53}
"""Bytes a weight; int4 with a scale and a zero for each group of 128."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Gpu(_Section):
    """The data sheet of a GPU type."""

    kind: str = Field(description="whose efficiencies it takes: a key of `efficiencies`")
    memory_gib: Positive = Field(description="as its driver reports it")
    bandwidth_gb_s: Positive = Field(description="of its memory, GB/s")
    bf16_tflops: Positive = Field(description="dense")
    fp8_tflops: float = Field(default=0.0, ge=0, description="dense; 0 where it has none, and weights are unpacked")
    link_gb_s: Positive = Field(description="to another GPU of the machine, one direction, GB/s")
    like: bool = Field(default=False, description="its kind's efficiencies were measured on another GPU")


class Gemm(_Section):
    """Time of a matrix product: `fixed + ((bytes / bandwidth)^blend + (operations / compute)^blend)^(1 / blend)`."""

    fixed_us: float = Field(ge=0, description="of a launch")
    bandwidth: Share = Field(description="of the data sheet's, when weights are read")
    compute: Share = Field(description="of the data sheet's")
    blend: Positive = Field(description="how sharply reading gives way to arithmetic")
    residual: float = Field(default=0.0, ge=0, description="median relative error over the products of models")


class Attention(_Section):
    """Time of decoding attention: `((fixed + per_sequence n)^3 + (bytes / bandwidth)^3)^(1/3)`."""

    fixed_us: float = Field(ge=0)
    per_sequence_us: float = Field(ge=0)
    bandwidth: Share
    residual: float = Field(default=0.0, ge=0)


class AllReduce(_Section):
    """Time of adding up what GPUs computed: `fixed + bytes / bandwidth`."""

    fixed_us: dict[str, float] = Field(description="GPUs -> us")
    bandwidth: Share = Field(description="of the link's")


class Efficiency(_Section):
    """How much of a data sheet vLLM's kernels get, fitted to measured times of single operators."""

    source: str
    gemm: dict[Precision, Gemm]
    attention: Attention
    all_reduce: AllReduce | None = None
    uncertainty: float = Field(default=0.0, ge=0, description="of what is taken from another GPU, relative")


class Catalogue(_Section):
    """The shipped file."""

    gpus: dict[str, Gpu]
    efficiencies: dict[str, Efficiency]


@cache
def catalogue() -> Catalogue:
    """The GPUs that are shipped, by short name."""
    return Catalogue.model_validate(tomli.loads((files("advisor.derive") / "gpus.toml").read_text(encoding="utf-8")))


def find(name: str) -> Gpu:
    """The GPU of this short name, whatever the case of the letters.

    Raises:
        InputError: there is none; the message names those there are.
    """
    gpus = catalogue().gpus
    if name.casefold() not in gpus:
        raise InputError(f"no GPU {name!r} in the catalogue; known are {', '.join(gpus)}")
    return gpus[name.casefold()]
