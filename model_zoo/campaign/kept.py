"""Values kept on disk, each with a SHA-256 of itself: one altered, cut short or made elsewhere is not believed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin.files import write_whole


class BrokenFileError(Exception):
    """A file is not the one that was kept under its name."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder of named JSON values."""

    folder: Path
    key: str
    """What the values depend on; a file made under another key is not believed."""

    def path(self, name: str) -> Path:
        """The file of a value."""
        return self.folder / f"{name}.json"

    def write(self, name: str, value: Any) -> None:
        """Keep a value, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(value).encode()
        write_whole(self.path(name), self._head(name, text) + text + b"\n}\n")

    def read(self, name: str) -> Any:
        """The value kept under a name; None where there is none.

        Raises:
            BrokenFileError: there is a file, but not the one that was kept.
        """
        try:
            data = self.path(name).read_bytes()
        except FileNotFoundError:
            return None
        text = data.partition(b"\n")[2].removesuffix(b"\n}\n")
        if data != self._head(name, text) + text + b"\n}\n":
            raise BrokenFileError(self.path(name))
        return json.loads(text)

    def _head(self, name: str, text: bytes) -> bytes:
        digest = hashlib.sha256(f"{self.key} {name}\n".encode() + text).hexdigest()
        return f'{{"sha256": "{digest}", "value":\n'.encode()
