"""A checkpoint: a model's shape and what its weights are packed into, by its name or by its config.json."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from advisor.derive.gpus.gpu import Precision
from advisor.derive.llm import model_config, model_shape
from advisor.derive.llm.model_shape import ModelShape
from advisor.derive.llm.packing import packed
from advisor.derive.llm.quantization import precision_in
from advisor.errors import InputError


class Checkpoint(NamedTuple):
    """What vLLM is told to load."""

    model: str
    """Its name: of a model of the catalogue the Hugging Face id."""
    shape: ModelShape
    precision: Precision | None
    """What its weights are packed into; None where nothing says so."""


def of_name(model: str) -> Checkpoint:
    """A model of the catalogue, or one that was packed of it, as its name says.

    Raises:
        InputError: the catalogue has no such model, or it is packed in a way whose cost is not derived.
    """
    found = packed(model)
    name = model_shape.hub_id(found.base if found else model)
    shape = model_shape.catalogue()[name]
    # A packed checkpoint is another repository, whose owner only the user knows.
    return Checkpoint(model, shape, found.precision) if found else Checkpoint(name, shape, None)


def of_file(path: Path, model: str) -> Checkpoint:
    """Any model, by its config.json.

    What the weights are packed into is what the file says; the name says it where the file does not, for some
    checkpoints of NVIDIA say it in a file of its own (hf_quant_config.json).

    Raises:
        InputError: the file cannot be read, tells a model whose cost is not derived, or something else than the name.
    """
    config, found = model_config.read(path), packed(model)
    try:
        precision = precision_in(config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if found is not None and precision not in (None, found.precision):
        raise InputError(f"{path}: weights in {precision}, but {model} is {found.precision} by its name")
    return Checkpoint(model, model_shape.shape_of(config), precision or (found.precision if found else None))
