"""A folder of models: its manifest and its files, each checked against its hash when it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from advisor import input_file
from advisor.errors import InputError
from advisor.zoo.manifest import Manifest

T = TypeVar("T")

MANIFEST = "manifest.json"
MAX_BYTES = 1024**3
"""Of a file of the zoo; those that are shipped have a few MB."""


@dataclass(frozen=True, eq=False)
class Models:
    """Models that `model_zoo` trained together, for one Profile or for any; what is loaded is kept with them."""

    directory: Path
    manifest: Manifest

    def read(self, file: str) -> bytes:
        """The bytes of a shipped file.

        Raises:
            InputError: the file is missing, unknown to the manifest, or not the one that was shipped.
        """
        path = self.directory / file
        again = f"install {self.directory.name} again"
        data = input_file.read(path, again, MAX_BYTES)
        if hashlib.sha256(data).hexdigest() != self.manifest.sha256.get(file):
            raise InputError(f"{path}: truncated or altered: its SHA-256 is not the one in {MANIFEST}; {again}")
        return data

    def only(self, entries: Iterable[T], what: str) -> T:
        """The one entry of the manifest that was sought.

        Raises:
            InputError: there is none, or more than one.
        """
        found = list(entries)
        if len(found) != 1:
            raise InputError(f"{self.directory / MANIFEST}: {len(found)} entries for the {what} where 1 belongs")
        return found[0]


def load_models(directory: Path) -> Models:
    """The models in a folder.

    Raises:
        InputError: there is no manifest, or none of this version.
    """
    path = directory / MANIFEST
    data = input_file.read(path, f"install {directory.name} again", MAX_BYTES)
    try:
        return Models(directory, Manifest.model_validate_json(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: truncated or altered: {place + ': ' if place else ''}{first['msg']}") from error


@cache
def common_models() -> Models:
    """Those that answer for any Profile: of a pair that has none of its own.

    Raises:
        InputError: there is no manifest, or none of this version.
    """
    return load_models(Path(str(files("model_zoo"))) / "common")
