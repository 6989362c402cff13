"""What an inventory may say of how its LLM is run: keys that decide which Profile answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    model_validator,
)

from advisor.derive.engine import Engine, KvDtype, is_current
from advisor.derive.gpus.figures import BOUNDS
from advisor.derive.gpus.gpu import OwnGpu, catalogue, hint, meant
from advisor.derive.llm.packing import Quantization
from advisor.derive.shards import MAX_GPUS
from advisor.errors import InputError
from advisor.inventory.document import shown
from advisor.inventory.validation import RefusedError

_Text = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00]*\z")]


def _within(name: str) -> Any:
    """The bounds of a figure, which the JSON Schema has, too."""
    return Field(ge=BOUNDS[name].low, le=BOUNDS[name].high, allow_inf_nan=False)


class GpuFigures(BaseModel):
    """The data sheet of a GPU that the catalogue lacks."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    name: _Text = Field(description="a text: what the answer calls it")
    memory_gib: Annotated[float, _within("memory_gib")] = Field(
        description=f"the GiB that its driver reports, {BOUNDS['memory_gib'].words}"
    )
    bandwidth_gb_s: Annotated[float, _within("bandwidth_gb_s")] = Field(
        description=f"its memory's GB/s, {BOUNDS['bandwidth_gb_s'].words}"
    )
    bf16_tflops: Annotated[float, _within("bf16_tflops")] = Field(
        description=f"dense TFLOP/s in bf16, {BOUNDS['bf16_tflops'].words}"
    )
    fp8_tflops: Annotated[float, _within("fp8_tflops")] | None = Field(
        default=None, description=f"dense TFLOP/s in fp8, {BOUNDS['fp8_tflops'].words}; left out where it has none"
    )
    link_gb_s: Annotated[float, _within("link_gb_s")] | None = Field(
        default=None,
        description=f"GB/s to another GPU of the machine, in one direction, {BOUNDS['link_gb_s'].words}",
    )
    clock_ghz: Annotated[float, _within("clock_ghz")] | None = Field(
        default=None, description=f"its highest clock in GHz, {BOUNDS['clock_ghz'].words}"
    )
    like: _Text = Field(
        description='the GPU of the catalogue whose kind it resembles, such as "l40s": `advisor pairs` can list them'
    )

    @model_validator(mode="before")
    @classmethod
    def _in_these_units(cls, given: Any) -> Any:
        """The table as it is given, unless a figure is in another unit: then the message names that."""
        for name, bounds in BOUNDS.items():
            value = given.get(name)
            if isinstance(value, int | float) and (slip := bounds.slip(value)):
                right = cls.model_fields[name].description
                raise RefusedError(f"{name} is {shown(value)}, but must be {right}; write {slip}", name)
        return given

    def own(self) -> OwnGpu:
        """In the terms of derivation.

        Raises:
            RefusedError: `like` is no GPU of the catalogue.
        """
        found = meant(self.like)
        if not found:
            known = ", ".join(catalogue().gpus)
            raise RefusedError(f"like is {self.like!r}, but must be one of {known}{hint(self.like)}", "like")
        return OwnGpu(
            self.name,
            memory_gib=self.memory_gib,
            bandwidth_gb_s=self.bandwidth_gb_s,
            bf16_tflops=self.bf16_tflops,
            fp8_tflops=self.fp8_tflops or 0.0,
            link_gb_s=self.link_gb_s,
            clock_ghz=self.clock_ghz,
            like=found[0],
        )


_NAME = TypeAdapter[str](_Text, config=ConfigDict(strict=True))


def _gpu(given: Any) -> str | GpuFigures:
    """A table of figures, or a name."""
    if not isinstance(given, dict):
        return _NAME.validate_python(given)
    figures = GpuFigures.model_validate(given)
    figures.own()
    return figures


def _vllm(given: Any) -> str:
    if isinstance(given, float):  # 0.10 is 0.1 by now: no telling which was meant
        raise RefusedError(f'{given} is a number, but must be a text in quotes, such as vllm = "0.33"')
    version = _NAME.validate_python(given)
    try:
        is_current(version)
    except InputError as error:
        raise RefusedError(str(error)) from error
    return version


AnyGpu = Annotated[str | GpuFigures, PlainValidator(_gpu, json_schema_input_type=_Text | GpuFigures)]
Version = Annotated[str, PlainValidator(_vllm, json_schema_input_type=_Text)]


class EngineKeys(BaseModel):
    """Keys at the top of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    model: _Text = Field(description='a Hugging Face id or short name, such as "meta-llama/Llama-3.1-8B-Instruct"')
    gpu: AnyGpu | None = Field(
        default=None, description='the short name of a GPU type, such as "h100-64gb", or a table with its figures'
    )
    # `model_config` is pydantic's own.
    config: _Text | None = Field(
        default=None,
        alias="model_config",
        description="the path of the model's config.json, relative to the inventory, where the catalogue lacks it",
    )
    tensor_parallel: int | None = Field(
        default=None, ge=1, le=MAX_GPUS, description=f"a whole number from 1 to {MAX_GPUS}: GPUs that one server spans"
    )
    quantization: Quantization | None = Field(
        default=None,
        description="vLLM's name of what the weights are packed into: fp8, awq, gptq, bitsandbytes, "
        "compressed-tensors, modelopt, fbgemm_fp8, ptpc_fp8, awq_marlin or gptq_marlin",
    )
    kv_cache_dtype: KvDtype | None = Field(
        default=None, description="what the KV cache holds: auto, bfloat16, float16, fp8, fp8_e4m3 or fp8_e5m2"
    )
    vllm: Version | None = Field(
        default=None, description='a version of vLLM from 0.8 on, such as "0.33"; what was measured is 0.8.5'
    )

    @property
    def gpu_name(self) -> str | None:
        """The short name of the GPU type, where there is one."""
        return self.gpu.name if isinstance(self.gpu, GpuFigures) else self.gpu

    def engine(self, folder: Path) -> Engine:
        """In the terms of derivation; paths are relative to `folder`."""
        return Engine(
            tensor_parallel=self.tensor_parallel,
            quantization=self.quantization,
            kv_cache_dtype=self.kv_cache_dtype,
            vllm=self.vllm,
            config=None if self.config is None else folder / self.config,
            gpu=self.gpu.own() if isinstance(self.gpu, GpuFigures) else None,
        )
