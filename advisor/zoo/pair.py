"""A pair: one LLM on one GPU type, by its Profile and the models that answer for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from advisor import input_file
from advisor.derive.engine import PLAIN, Engine, KvDtype
from advisor.derive.llm import model_shape
from advisor.derive.llm.model_name import same_model
from advisor.derive.llm.model_shape import ModelShape
from advisor.derive.llm.packing import PRECISIONS, Quantization, packed
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
    """The shape of its LLM, where it was derived from that or a configuration tells it."""

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
        return self.engine.gpus

    def serves(self, model: str) -> bool:
        """Whether it is for this LLM, named by its Hugging Face id, the pair's short name, or the LLM's part of it."""
        short = (self.name.lower(), self.name.lower().partition("--")[0])
        return model.lower() in short or same_model(model, self.model)

    @property
    def weights(self) -> str:
        """What the weights are packed into: bf16, fp8, int4."""
        if self.profile.derivation is not None:
            return self.profile.derivation.weights
        of_name, method = packed(self.model), self.engine.quantization
        return of_name.precision if of_name else PRECISIONS.get(method, "bf16") if method else "bf16"

    @property
    def packed(self) -> bool:
        """Whether the checkpoint is said to hold its weights so."""
        derivation = self.profile.derivation
        return packed(self.model) is not None or (derivation is not None and derivation.packed)

    @property
    def engine(self) -> Engine:
        """How its server is run, as its Profile says."""
        derivation = self.profile.derivation
        if derivation is None:
            return _measured(self.profile)
        return Engine(
            tensor_parallel=derivation.gpus,
            quantization="fp8" if self.weights == "fp8" and not self.packed else None,
            kv_cache_dtype="fp8" if derivation.kv_cache == "fp8" else None,
        )

    def run(self, engine: Engine = PLAIN) -> Pair:
        """The pair with what its server has to be told, and whoever launches it has to know; `engine` says more of that
        than the Profile does, and nothing else.
        """
        own, derivation = self.engine, self.profile.derivation
        run = replace(
            own,
            tensor_parallel=engine.tensor_parallel or own.tensor_parallel,
            quantization=engine.quantization or own.quantization,
            kv_cache_dtype=engine.kv_cache_dtype or own.kv_cache_dtype,
            vllm=engine.vllm,
        )
        notes = (*(derivation.notes if derivation else ()), *run.notes(self.model, self.weights, packed=self.packed))
        return replace(self, flags=run.flags(), notes=notes)

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
    return Pair(profile, models).run()


def _measured(profile: Profile) -> Engine:
    """How the servers were run that a Profile was measured on, as far as flags said that."""
    flags = profile.provenance.flags if profile.provenance else []
    told = dict(flag.removeprefix("--").replace("_", "-").split("=", 1) for flag in flags if "=" in flag)
    several = told.get("tensor-parallel-size", "")
    return Engine(
        tensor_parallel=int(several) if several.isdecimal() else None,
        quantization=cast("Quantization | None", told.get("quantization")),  # whatever vLLM took
        kv_cache_dtype=cast("KvDtype | None", told.get("kv-cache-dtype")),
    )
