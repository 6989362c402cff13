"""Which files of a folder may hold a vLLM server."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from advisor.errors import InputError

SUFFIXES = frozenset(
    (
        *(".yaml", ".yml", ".json", ".sh", ".bash", ".zsh", ".ksh", ".py", ".tf", ".hcl", ".nomad", ".service"),
        *(".container", ".properties", ".dockerfile", ".containerfile", ".env", ".conf", ".sbatch", ".slurm"),
    )
)
NAMES = ("dockerfile", "containerfile", "makefile", "procfile")
"""Beginnings of names without such an ending."""
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
            if _holds(name) and path.is_file() and not left_out and path.stat().st_size <= LARGEST:
                yield path


def _holds(name: str) -> bool:
    lower = name.lower()
    return os.path.splitext(lower)[1] in SUFFIXES or lower.startswith(NAMES)  # noqa: PTH122
