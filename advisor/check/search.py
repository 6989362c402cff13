"""Which files of a folder may hold a vLLM server."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from advisor.deploy.finder import named_like_one
from advisor.errors import InputError

LARGEST = 2**20
"""Bytes: what is larger and was not named is data, not what somebody wrote to deploy a server."""
LEFT_OUT = frozenset({"node_modules", "__pycache__", "site-packages", "venv"})
"""Folders that hold what others wrote; hidden ones are left out, too."""


def files(paths: Iterable[Path], exclude: Sequence[str] = ()) -> Iterator[Path]:
    """The files that were named, and those in the folders that were, each once.

    Raises:
        InputError: a folder cannot be read.
    """
    seen = set[Path]()
    for path in paths:
        for found in _in(path, exclude) if path.is_dir() else (path,):
            if found not in seen:
                seen.add(found)
                yield found


def _in(folder: Path, exclude: Sequence[str]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot read the folder: {error.strerror}")

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in LEFT_OUT)
        for name in sorted(names):
            path = Path(root) / name
            relative = path.relative_to(folder).as_posix()
            left_out = any(fnmatch(each, pattern) for pattern in exclude for each in (relative, path.as_posix(), name))
            if not left_out and path.is_file() and path.stat().st_size <= LARGEST and _holds(path):
                yield path


def _holds(path: Path) -> bool:
    """Whether it may be a deployment file: by its name, or a script without an ending."""
    if named_like_one(path.name):
        return True
    if path.suffix:
        return False
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True  # who reads it says why it cannot be read
