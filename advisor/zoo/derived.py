"""Pairs that nobody measured: a Profile from shapes and figures, answered by the models that answer for any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from advisor.derive.derive import Subject, derive
from advisor.derive.engine import CURRENT, Engine
from advisor.derive.gpus import gpu as gpus
from advisor.derive.gpus.gpu import Precision
from advisor.derive.llm import model_shape
from advisor.derive.llm.checkpoint import Checkpoint, of_file, of_name
from advisor.derive.llm.packing import precision_of
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
    subject = subject_of(model, gpu, engine)
    profile = derive(subject, donor, model_shape.find(donor.pair.model), command="advisor")
    pair = Pair(profile, common_models(), derived_from=subject.shape).run(engine)
    return replace(pair, notes=(*pair.notes, *_model_notes(subject, engine), *_gpu_notes(gpu, engine)))


def subject_of(model: str, gpu: str, engine: Engine, weights: Precision | None = None) -> Subject:
    """What is to be derived for a model and a GPU, run so; `weights` says what they are packed into by whatever method.

    Raises:
        InputError: the catalogue lacks the model or the GPU, or what is said of the weights does not go together.
    """
    checkpoint = of_name(model) if engine.config is None else of_file(engine.config, model)
    precision = weights or precision_of(engine.quantization, checkpoint.precision, model)
    if checkpoint.precision not in (None, precision):
        raise InputError(f"weights in {precision} are asked for, but {model} holds them in {checkpoint.precision}")
    return Subject(
        model=checkpoint.model,
        shape=checkpoint.shape,
        gpu_name=engine.gpu.name if engine.gpu else gpus.short_name(gpu),
        gpu=engine.gpu.gpu() if engine.gpu else gpus.find(gpu),
        tensor_parallel=engine.gpus,
        precision=precision,
        packed=checkpoint.precision is not None,
        kv_bytes=engine.kv_bytes,
        vllm=engine.vllm or CURRENT,
    )


def is_of(pair: Pair, checkpoint: Checkpoint) -> bool:
    """Whether a pair is of the model that a configuration tells, as far as anyone knows the pair's."""
    derivation = pair.profile.derivation
    if checkpoint.precision not in (None, pair.weights):
        return False
    if derivation is not None and derivation.parameters:
        return derivation.parameters == checkpoint.shape.parameters
    return pair.shape in (None, checkpoint.shape)


def _model_notes(subject: Subject, engine: Engine) -> Iterator[str]:
    """That the catalogue has the model otherwise than its configuration."""
    if engine.config is None:
        return
    try:
        known = model_shape.find(subject.model)
    except InputError:
        return
    names = [each.name for each in fields(known)]
    other = [name for name in names if getattr(known, name) != getattr(subject.shape, name)]
    if other:
        told = ", ".join(f"{name} {getattr(subject.shape, name)}, not {getattr(known, name)}" for name in other[:3])
        yield (
            f"{engine.config} is not {subject.model} as the catalogue has it ({told.replace('_', ' ')}): the answer is "
            "of the file"
        )


def _gpu_notes(gpu: str, engine: Engine) -> Iterator[str]:
    """How the names and figures of the GPU were understood."""
    if engine.gpu is not None:
        yield f"the figures of {engine.gpu.name} are yours; what vLLM gets out of them is taken from {engine.gpu.like}"
        if engine.gpus > 1 and engine.gpu.link_gb_s is None:
            yield f"[gpu] has no link_gb_s: {gpus.PCIE_GB_S:g} GB/s are taken, as PCIe 4 has between GPUs"
        return
    first, *others = gpus.candidates(gpu)
    if others:
        *some, last = others
        there = f"there are {', '.join(some)} and {last}" if some else f"there is {last}"
        yield f"GPU {gpu} is taken as {first}; {there} as well"
