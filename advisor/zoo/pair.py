"""A pair: one LLM on one GPU type, by its Profile and the models that answer for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from advisor import input_file
from advisor.derive import model_shape
from advisor.derive.model_name import same_model
from advisor.derive.model_shape import ModelShape
from advisor.derive.packing import packed
from advisor.errors import InputError
from advisor.zoo.basis import Basis
from advisor.zoo.models import MANIFEST, MAX_BYTES, Models, common_models, load_models
from twin.profile import Profile, ProfileError
from twin.profile import parse as parse_profile

PROFILE = "profile.toml"


@dataclass(frozen=True, eq=False)
class Pair:
    """One LLM on one GPU type: its Profile, and the models that answer for it."""

    profile: Profile
    models: Models
    flags: Mapping[str, int | str] = field(default_factory=dict)
    """What vLLM has to be told beside its settings, by its names: how many GPUs, what weights and KV cache hold."""
    notes: tuple[str, ...] = ()
    """What was left out of account, or taken for granted."""
    derived_from: ModelShape | None = None
    """The shape of its LLM, where it was derived from that."""

    @property
    def name(self) -> str:
        """Short name, '<model>--<gpu>'."""
        return self.profile.pair.name

    @property
    def model(self) -> str:
        """Hugging Face id of the LLM."""
        return self.profile.pair.model

    @property
    def gpu(self) -> str:
        """Short name of the GPU type."""
        return self.profile.pair.gpu

    @property
    def vllm(self) -> str:
        """The version that its constants are of."""
        return self.profile.pair.vllm

    @property
    def gpus(self) -> int:
        """That a server spans."""
        return 1 if self.profile.derivation is None else self.profile.derivation.gpus

    def serves(self, model: str) -> bool:
        """Whether it is for this LLM, named by its Hugging Face id, the pair's short name, or the LLM's part of it."""
        short = (self.name.lower(), self.name.lower().partition("--")[0])
        return model.lower() in short or same_model(model, self.model)

    @property
    def shape(self) -> ModelShape | None:
        """Of its LLM; None where nobody told it."""
        if self.derived_from is not None:
            return self.derived_from
        try:
            return model_shape.find(self.model)
        except InputError:
            return None

    @property
    def basis(self) -> Basis:
        """What answers of the pair rest on."""
        measured = "; ".join(sorted({fit.source for fit in self.profile.fits.values()}))
        if self.profile.derivation is not None:
            measured = "derived, not measured"
        return Basis(self.name, self.model, self.gpu, self.vllm, measured, self.models.manifest.date, self.gpus)

    def summary(self) -> dict[str, Any]:
        """The pair as plain data: what it is for, where it comes from, and its models' errors on unseen workloads."""
        manifest = self.models.manifest
        trees = [{"output": tree.output, "objective": tree.objective, **tree.error} for tree in manifest.trees]
        ensembles = [{"output": entry.output, **entry.error} for entry in manifest.ensembles]
        chances = [
            {"output": "chance", "objective": entry.objective, "required": entry.required, **entry.error}
            for entry in manifest.chances
        ]
        return {
            "pair": self.name,
            "model": self.model,
            "gpu": self.gpu,
            "vllm": self.vllm,
            **manifest.model_dump(include={"date", "workloads", "simulations", "command"}),
            "source": self.basis.measured,
            "errors": [*trees, *ensembles, *chances],
        }


def shipped() -> Path:
    """Where the pairs that come with the package lie."""
    return Path(str(files("model_zoo"))) / "pairs"


def load_pair(directory: Path) -> Pair:
    """The pair of a folder: a Profile, and models of its own or else those that answer for any.

    Raises:
        InputError: a file is missing, altered, or not what it should be.
    """
    path = directory / PROFILE
    own = (directory / MANIFEST).exists()
    models = load_models(directory) if own else common_models()
    data = models.read(PROFILE) if own else input_file.read(path, "a pair needs its profile", MAX_BYTES)
    try:
        profile = parse_profile(data, str(path))
    except ProfileError as error:
        raise InputError(str(error)) from error
    return Pair(profile, models, _flags(profile))


def _flags(profile: Profile) -> dict[str, int | str]:
    """What a derived Profile says of how its server is run."""
    found: dict[str, int | str] = {}
    derivation = profile.derivation
    if derivation is None:
        return found
    if derivation.gpus > 1:
        found["tensor_parallel_size"] = derivation.gpus
    if derivation.weights == "fp8" and packed(profile.pair.model) is None:
        found["quantization"] = "fp8"
    return found
