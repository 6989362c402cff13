"""The zoo: which pairs are shipped, and their files, each checked against its hash when it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from advisor import input_file
from advisor.errors import InputError
from advisor.nearest import nearest
from advisor.zoo.basis import Basis
from advisor.zoo.manifest import Manifest
from advisor.zoo.model_name import bare, same_model
from twin.profile import Profile, ProfileError
from twin.profile import parse as parse_profile

T = TypeVar("T")

MANIFEST = "manifest.json"
PROFILE = "profile.toml"
MAX_BYTES = 1024**3
"""Of a file of a pair; those that are shipped have a few MB."""


@dataclass(frozen=True, eq=False)
class Pair:
    """One LLM on one GPU type: the directory that `model_zoo` wrote for it. What is loaded of it is kept with it."""

    directory: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """Short name, '<model>--<gpu>'."""
        return self.manifest.pair

    def serves(self, model: str) -> bool:
        """Whether it is for this LLM, named by its Hugging Face id, the pair's short name, or the LLM's part of it."""
        short = (self.name.lower(), self.name.lower().partition("--")[0])
        return model.lower() in short or same_model(model, self.manifest.model)

    def read(self, file: str) -> bytes:
        """The bytes of a shipped file.

        Raises:
            InputError: the file is missing, unknown to the manifest, or not the one that was shipped.
        """
        path = self.directory / file
        data = input_file.read(path, f"install the pair {self.name} again", MAX_BYTES)
        if hashlib.sha256(data).hexdigest() != self.manifest.sha256.get(file):
            raise InputError(
                f"{path}: truncated or altered: its SHA-256 is not the one in {MANIFEST}; "
                f"install the pair {self.name} again"
            )
        return data

    @property
    def basis(self) -> Basis:
        """What answers of the pair rest on.

        Raises:
            InputError: the profile is missing, altered or no profile.
        """
        found = self.manifest
        measured = "; ".join(sorted({fit.source for fit in self.profile.fits.values()}))
        if self.profile.derivation is not None:
            measured = "derived, not measured"
        return Basis(found.pair, found.model, found.gpu, found.vllm, measured, found.date)

    def summary(self) -> dict[str, Any]:
        """The pair as plain data: what it is for, where it comes from, and its errors on unseen workloads.

        Raises:
            InputError: the profile is missing, altered or no profile.
        """
        manifest = self.manifest
        trees = [{"output": tree.output, "objective": tree.objective, **tree.error} for tree in manifest.trees]
        ensembles = [{"output": entry.output, **entry.error} for entry in manifest.ensembles]
        chances = [
            {"output": "chance", "objective": entry.objective, "required": entry.required, **entry.error}
            for entry in manifest.chances
        ]
        return {
            **manifest.model_dump(
                include={"pair", "model", "gpu", "vllm", "date", "workloads", "simulated_hours", "command"}
            ),
            "source": self.basis.measured,
            "errors": [*trees, *ensembles, *chances],
        }

    def only(self, entries: Iterable[T], what: str) -> T:
        """The one entry of the manifest that was sought.

        Raises:
            InputError: there is none, or more than one.
        """
        found = list(entries)
        if len(found) != 1:
            raise InputError(f"{self.directory / MANIFEST}: {len(found)} entries for the {what} where 1 belongs")
        return found[0]

    @cached_property
    def profile(self) -> Profile:
        """The calibrated constants of the pair.

        Raises:
            InputError: the profile is missing, altered or no profile.
        """
        try:
            return parse_profile(self.read(PROFILE), str(self.directory / PROFILE))
        except ProfileError as error:
            raise InputError(str(error)) from error


def shipped() -> Path:
    """Where the pairs that come with the package lie."""
    return Path(str(files("model_zoo"))) / "pairs"


@dataclass(frozen=True, slots=True)
class Zoo:
    """The pairs in a folder."""

    pairs: tuple[Pair, ...]
    """Those whose manifest can be read, by name."""
    broken: tuple[str, ...]
    """Of the others, which and why not."""


def load_zoo(folder: Path | None = None) -> Zoo:
    """The pairs of a zoo (default: the shipped one).

    Raises:
        InputError: no such folder, or not one pair in it that can be read.
    """
    folder = folder or shipped()
    try:
        directories = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
    except OSError as error:
        raise InputError(f"{folder}: cannot read the zoo: {error.strerror}") from error
    if not directories:
        raise InputError(f"{folder}: no pairs here; a zoo holds one directory with a {MANIFEST} per pair")
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
        known = {bare(pair.manifest.model): pair.manifest.model for pair in zoo.pairs}
        near = known.get(nearest(bare(model), known) or "")
        raise _unknown(f"no pair for model {model!r}", near, f"known models: {', '.join(sorted(known.values()))}", zoo)
    for pair in ours:
        if pair.manifest.gpu.lower() == gpu.lower():
            return pair
    gpus = sorted(pair.manifest.gpu for pair in ours)
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
    path = directory / MANIFEST
    try:
        return Pair(directory, Manifest.model_validate_json(input_file.read(path, "install the pair again", MAX_BYTES)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: truncated or altered: {place + ': ' if place else ''}{first['msg']}") from error
