"""The zoo: Profiles of pairs, each with the models that answer for it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from advisor import input_file
from advisor.errors import InputError
from advisor.nearest import nearest
from advisor.zoo.basis import Basis
from advisor.zoo.model_name import bare, same_model
from advisor.zoo.models import MANIFEST, MAX_BYTES, Models, common_models, load_models
from twin.profile import Profile, ProfileError
from twin.profile import parse as parse_profile

PROFILE = "profile.toml"


@dataclass(frozen=True, eq=False)
class Pair:
    """One LLM on one GPU type: its Profile, and the models that answer for it."""

    profile: Profile
    models: Models

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

    def serves(self, model: str) -> bool:
        """Whether it is for this LLM, named by its Hugging Face id, the pair's short name, or the LLM's part of it."""
        short = (self.name.lower(), self.name.lower().partition("--")[0])
        return model.lower() in short or same_model(model, self.model)

    @property
    def basis(self) -> Basis:
        """What answers of the pair rest on."""
        measured = "; ".join(sorted({fit.source for fit in self.profile.fits.values()}))
        if self.profile.derivation is not None:
            measured = "derived, not measured"
        return Basis(self.name, self.model, self.gpu, self.vllm, measured, self.models.manifest.date)

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


@dataclass(frozen=True, slots=True)
class Zoo:
    """The pairs in a folder."""

    pairs: tuple[Pair, ...]
    """Those that can be read, by name."""
    broken: tuple[str, ...]
    """Of the others, which and why not."""


def load_zoo(folder: Path | None = None) -> Zoo:
    """The pairs of a zoo (default: the shipped one).

    Raises:
        InputError: no such folder, or not one pair in it that can be read.
    """
    folder = folder or shipped()
    try:
        directories = sorted({path.parent for file in (PROFILE, MANIFEST) for path in folder.glob(f"*/{file}")})
    except OSError as error:
        raise InputError(f"{folder}: cannot read the zoo: {error.strerror}") from error
    if not directories:
        raise InputError(f"{folder}: no pairs here; a zoo holds one directory with a {PROFILE} per pair")
    pairs, broken = [], []
    for directory in directories:
        try:
            pairs.append(_load(directory))
        except InputError as error:
            broken.append(str(error))
    if not pairs:
        raise InputError(broken[0])
    return Zoo(tuple(pairs), tuple(broken))


def find_pair(model: str, gpu: str, folder: Path | None = None) -> Pair:
    """The pair of a model (Hugging Face id or short name) and a GPU type, whatever the case of the letters.

    Raises:
        InputError: there is no such pair; the message names those there are.
    """
    zoo = load_zoo(folder)
    ours = [pair for pair in zoo.pairs if pair.serves(model)]
    if not ours:
        known = {bare(pair.model): pair.model for pair in zoo.pairs}
        near = known.get(nearest(bare(model), known) or "")
        raise _unknown(f"no pair for model {model!r}", near, f"known models: {', '.join(sorted(known.values()))}", zoo)
    for pair in ours:
        if pair.gpu.lower() == gpu.lower():
            return pair
    gpus = sorted(pair.gpu for pair in ours)
    sought = f"no pair for GPU {gpu!r} with model {model!r}"
    raise _unknown(sought, nearest(gpu, gpus), f"known GPUs: {', '.join(gpus)}", zoo)


def named(name: str, folder: Path | None = None) -> Pair:
    """The pair of this short name, whatever the case of the letters.

    Raises:
        InputError: there is no such pair; the message names those there are.
    """
    zoo = load_zoo(folder)
    for pair in zoo.pairs:
        if pair.name.lower() == name.lower():
            return pair
    known = [pair.name for pair in zoo.pairs]
    raise _unknown(f"no pair {name!r}", nearest(name, known), f"known pairs: {', '.join(known)}", zoo)


def _unknown(sought: str, near: str | None, known: str, zoo: Zoo) -> InputError:
    hint = f"; did you mean {near!r}?" if near else ""
    broken = f"; not readable: {'; '.join(zoo.broken)}" if zoo.broken else ""
    return InputError(f"{sought}{hint}; {known}{broken}")


def _load(directory: Path) -> Pair:
    """The pair of a folder: a Profile, and models of its own or else those that answer for any."""
    path = directory / PROFILE
    own = (directory / MANIFEST).exists()
    models = load_models(directory) if own else common_models()
    data = models.read(PROFILE) if own else input_file.read(path, "a pair needs its profile", MAX_BYTES)
    try:
        return Pair(parse_profile(data, str(path)), models)
    except ProfileError as error:
        raise InputError(str(error)) from error
