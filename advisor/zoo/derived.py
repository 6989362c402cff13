"""Pairs that nobody measured: a Profile from shapes and figures, answered by the models that answer for any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from advisor.derive import gpu as gpus
from advisor.derive import model_config, model_shape
from advisor.derive.derive import Subject, derive
from advisor.derive.engine import CURRENT, Engine
from advisor.derive.gpu import Precision
from advisor.derive.model_config import ModelConfig
from advisor.derive.packing import Packed, packed, precision_of
from advisor.derive.quantization import precision_in
from advisor.errors import InputError
from advisor.zoo.models import common_models
from advisor.zoo.pair import Pair, load_pair, shipped

LORA_FROM = "llama-3.1-8b-instruct--h100-64gb"
"""The shipped pair that LoRA's costs are taken from."""


def derived_pair(model: str, gpu: str, engine: Engine) -> Pair:
    """The pair of a model and a GPU, run so.

    Raises:
        InputError: the catalogue lacks the model or the GPU, or what such a server costs is not derived.
    """
    donor = load_pair(shipped() / LORA_FROM).profile
    subject = _subject(model, gpu, engine)
    profile = derive(subject, donor, model_shape.find(donor.pair.model), command="advisor")
    assert profile.derivation is not None
    notes = (*profile.derivation.notes, *_gpu_notes(gpu, engine), *engine.notes(subject.model))
    return Pair(profile, common_models(), engine.flags(), notes, subject.shape)


def _subject(model: str, gpu: str, engine: Engine) -> Subject:
    of_name = packed(model)
    if engine.config is not None:
        config, name = model_config.read(engine.config), model
        shape = model_shape.shape_of(config)
        of_checkpoint = _of_checkpoint(engine.config, config, of_name)
    else:
        name = model_shape.hub_id(of_name.base if of_name else model)
        shape = model_shape.catalogue()[name]
        # A packed checkpoint is another repository, whose owner only the user knows.
        name, of_checkpoint = (model, of_name.precision) if of_name else (name, None)
    return Subject(
        model=name,
        shape=shape,
        gpu_name=engine.gpu.name if engine.gpu else gpus.short_name(gpu),
        gpu=engine.gpu.gpu() if engine.gpu else gpus.find(gpu),
        tensor_parallel=engine.gpus,
        precision=precision_of(engine.quantization, of_checkpoint, model),
        kv_bytes=engine.kv_bytes,
        vllm=engine.vllm or CURRENT,
    )


def _of_checkpoint(path: Path, config: ModelConfig, of_name: Packed | None) -> Precision | None:
    """What the weights are packed into, by the configuration or, where that says nothing, by the name."""
    try:
        of_file = precision_in(config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if of_name is None or of_file in (None, of_name.precision):
        return of_file or (of_name.precision if of_name else None)
    raise InputError(f"{path}: weights of {of_file}, where the name of the model says {of_name.precision}")


def _gpu_notes(gpu: str, engine: Engine) -> Iterator[str]:
    """How the names and figures of the GPU were understood."""
    if engine.gpu is not None:
        yield f"the figures of {engine.gpu.name} are yours; what vLLM gets out of them is taken from {engine.gpu.like}"
        if engine.gpus > 1 and engine.gpu.link_gb_s is None:
            yield f"[gpu] has no link_gb_s: {gpus.PCIE_GB_S:g} GB/s are taken, as PCIe 4 has between GPUs"
        return
    first, *others = gpus.meant(gpu)
    if others:
        yield f"GPU {gpu} is taken as {first}; there is {' and '.join(others)} as well"
