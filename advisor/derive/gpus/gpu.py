"""GPUs: what their data sheets say, and how much of that vLLM's kernels get out of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import tomli
from pydantic import BaseModel, ConfigDict, Field

from advisor.derive.gpus import gpu_name
from advisor.errors import InputError
from advisor.names import either

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1.5, allow_inf_nan=False)]
Precision = Literal["bf16", "fp8", "int4"]
"""Of weights: int4 stands for AWQ, GPTQ and bitsandbytes, whose kernels multiply in bf16."""
WEIGHT_BYTES: Mapping[Precision, float] = {"bf16": 2.0, "fp8": 1.0, "int4": 0.53}
"""Bytes a weight; int4 with a scale and a zero for each group of 128."""
PCIE_GB_S = 32.0
"""Between GPUs that nothing faster connects, GB/s in one direction: PCIe 4 with 16 lanes."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)  # many need no more than the names


class Gpu(_Section):
    """The data sheet of a GPU type."""

    kind: str = Field(description="whose efficiencies it takes: a key of `efficiencies`")
    memory_gib: Positive = Field(description="as its driver reports it")
    bandwidth_gb_s: Positive = Field(description="of its memory, GB/s")
    bf16_tflops: Positive = Field(description="dense")
    fp8_tflops: float = Field(default=0.0, ge=0, description="dense; 0 where it has none, and weights are unpacked")
    link_gb_s: Positive = Field(description="to another GPU of the machine, one direction, GB/s")
    clock_ghz: Positive | None = Field(
        default=None, description="at most; thread blocks are started at its pace; left out where that is not known"
    )
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
    return Catalogue.model_validate(
        tomli.loads((files("advisor.derive.gpus") / "gpus.toml").read_text(encoding="utf-8"))
    )


@dataclass(frozen=True, slots=True)
class OwnGpu:
    """Figures of a GPU that the catalogue lacks, in the units of `Gpu`."""

    name: str
    memory_gib: float
    bandwidth_gb_s: float
    bf16_tflops: float
    fp8_tflops: float
    link_gb_s: float | None
    clock_ghz: float | None
    like: str
    """The GPU of the catalogue whose kind it resembles."""

    def gpu(self) -> Gpu:
        """As the catalogue has them.

        Raises:
            InputError: `like` is no GPU of the catalogue.
        """
        return Gpu(
            kind=find(self.like).kind,
            memory_gib=self.memory_gib,
            bandwidth_gb_s=self.bandwidth_gb_s,
            bf16_tflops=self.bf16_tflops,
            fp8_tflops=self.fp8_tflops,
            link_gb_s=self.link_gb_s or PCIE_GB_S,
            clock_ghz=self.clock_ghz,
            like=True,
        )


def find(name: str) -> Gpu:
    """The GPU that people call so.

    Raises:
        InputError: there is none; the message names those there are.
    """
    return catalogue().gpus[short_name(name)]


def short_name(name: str) -> str:
    """The catalogue's name of a GPU, as drivers, clouds and people call it: "NVIDIA A100-SXM4-80GB", "A100".

    Of a GPU that comes with different memories, that of the stated size or, where none is stated, the largest.

    Raises:
        InputError: there is none; the message names those there are, and the way out.
    """
    if found := meant(name):
        return found[0]
    raise InputError(
        f"no GPU {name!r} in the catalogue{hint(name)}; known GPUs: {', '.join(catalogue().gpus)}; of any other, give "
        "the figures of its data sheet in a table [gpu]"
    )


def meant(name: str) -> list[str]:
    """The GPUs of the catalogue that people call so, by short name, the one with the largest memory first."""
    return gpu_name.meant(name, _memories())


def candidates(name: str) -> list[str]:
    """Those, and then the others of the family that the name leaves open."""
    return gpu_name.candidates(name, _memories())


def hint(name: str) -> str:
    """What goes on after a name that is no GPU's: those that it may be; nothing where it resembles none."""
    near = either([repr(known) for known in gpu_name.near(name, _memories())])
    return f"; did you mean {near}?" if near else ""


def _memories() -> gpu_name.Memories:
    return {name: each.memory_gib for name, each in catalogue().gpus.items()}
