"""The zoo: which pairs are shipped, and their files, each checked against its hash when it is read."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from advisor.errors import InputError
from advisor.zoo.manifest import Manifest
from twin.profile import Profile, ProfileError
from twin.profile import load as load_profile

T = TypeVar("T")

MANIFEST = "manifest.json"
PROFILE = "profile.toml"


@dataclass(frozen=True, eq=False)
class Pair:
    """One LLM on one GPU type: the directory that `model_zoo` wrote for it. What is loaded of it is kept with it."""

    directory: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """Short name, '<model>--<gpu>'."""
        return self.manifest.pair

    @property
    def model_names(self) -> tuple[str, ...]:
        """What an inventory may call the model, in lower case: its Hugging Face id or a short name."""
        names = (self.manifest.model, self.name.partition("--")[0], self.name)
        return tuple(name.lower() for name in names)

    def read(self, file: str) -> bytes:
        """The bytes of a shipped file.

        Raises:
            InputError: the file is missing, unknown to the manifest, or not the one that was shipped.
        """
        path = self.directory / file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot read: {error.strerror}; install the pair {self.name} again") from error
        if hashlib.sha256(data).hexdigest() != self.manifest.sha256.get(file):
            raise InputError(
                f"{path}: truncated or altered: its SHA-256 is not the one in {MANIFEST}; "
                f"install the pair {self.name} again"
            )
        return data

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
            "source": "; ".join(sorted({fit.source for fit in self.profile.fits.values()})),
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
        self.read(PROFILE)
        try:
            return load_profile(self.directory / PROFILE)
        except ProfileError as error:
            raise InputError(str(error)) from error


def shipped() -> Path:
    """Where the pairs that come with the package lie."""
    return Path(str(files("model_zoo"))) / "pairs"


def load_all(zoo: Path | None = None) -> list[Pair]:
    """Every pair of a zoo (default: the shipped one), by name.

    Raises:
        InputError: no such directory, no pair in it, or a manifest that cannot be read.
    """
    zoo = zoo or shipped()
    try:
        directories = sorted(path.parent for path in zoo.glob(f"*/{MANIFEST}"))
    except OSError as error:
        raise InputError(f"{zoo}: cannot read the zoo: {error.strerror}") from error
    if not directories:
        raise InputError(f"{zoo}: no pairs here; a zoo holds one directory with a {MANIFEST} per pair")
    return [_load(directory) for directory in directories]


def find_pair(model: str, gpu: str, zoo: Path | None = None) -> Pair:
    """The pair of a model (Hugging Face id or short name) and a GPU type, whatever the case of the letters.

    Raises:
        InputError: there is no such pair; the message names those there are.
    """
    pairs = load_all(zoo)
    ours = [pair for pair in pairs if model.lower() in pair.model_names]
    if not ours:
        known = sorted({pair.manifest.model for pair in pairs})
        raise InputError(f"no pair for model {model!r}{_nearest(model, known)}; known models: {', '.join(known)}")
    for pair in ours:
        if pair.manifest.gpu.lower() == gpu.lower():
            return pair
    gpus = sorted(pair.manifest.gpu for pair in ours)
    raise InputError(
        f"no pair for GPU {gpu!r} with model {model!r}{_nearest(gpu, gpus)}; known GPUs: {', '.join(gpus)}"
    )


def named(name: str, zoo: Path | None = None) -> Pair:
    """The pair of this short name, whatever the case of the letters.

    Raises:
        InputError: there is no such pair; the message names those there are.
    """
    pairs = load_all(zoo)
    for pair in pairs:
        if pair.name.lower() == name.lower():
            return pair
    known = [pair.name for pair in pairs]
    raise InputError(f"no pair {name!r}{_nearest(name, known)}; known pairs: {', '.join(known)}")


def _load(directory: Path) -> Pair:
    path = directory / MANIFEST
    try:
        return Pair(directory, Manifest.model_validate_json(path.read_bytes()))
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: truncated or altered: {place + ': ' if place else ''}{first['msg']}") from error


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name.lower(), [each.lower() for each in known], n=1)
    return f"; did you mean {next(each for each in known if each.lower() == near[0])!r}?" if near else ""
