"""How the twin is compiled, the numbers that compiled code changes in place, and where its machine code is kept.

Numba's own cache notices changes only of the file that a function stands in, but the twin's functions are inlined into
one another across files; and where its folder cannot be written it takes others, without a word. So the twin keeps its
machine code itself, in a folder named by a hash of all that decides it. This leans on private parts of Numba
(`Dispatcher._cache`, `CompileResult._reduce`): pyproject.toml bounds its version, and a test fails if they change.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar, cast, get_type_hints

import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core.compiler import CompileResult
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps
from platformdirs import user_cache_path

from twin.files import write_whole

F = TypeVar("F", bound=Callable[..., object])

NAME = "adapter-advisor"
UNUSED_S = 30 * 86_400.0
"""A folder of other machine code goes when nobody has used it for so long: older versions' pile up otherwise."""
_HARMLESS = {"NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS"}
"""Settings of Numba that do not change machine code."""
_DIGEST = 32
"""Bytes of SHA-256 at the start of each file: broken machine code would crash the process, not raise an error."""


class Record:
    """Base of classes that list named numbers as annotations, int or float; instances are NumPy records.

    Compiled code changes them in place, and a tuple can hold them beside arrays.
    """

    @classmethod
    def of(cls, **values: float) -> Self:
        """A record of these values, and 0 for the others."""
        kinds = _kinds(cast(Hashable, cls))
        unknown = values.keys() - {name for name, _ in kinds}
        assert not unknown, f"{cls.__name__} has no {', '.join(unknown)}"
        found = np.array([tuple(values.get(name, 0) for name, _ in kinds)], dtype=(np.record, kinds))
        return cast(Self, found[0])


@cache
def _kinds(record: object) -> list[tuple[str, type[np.generic]]]:
    """The numbers of a record, by name."""
    return [(name, np.float64 if kind is float else np.int64) for name, kind in get_type_hints(record).items()]


class Store(NamedTuple):
    """Folders of machine code."""

    read: tuple[Path, ...]
    """Where to look, in this order."""
    write: Path | None
    """Where to keep it; None where no folder can be written."""


def jit(function: F) -> F:
    """Compile a function to machine code that is inlined wherever compiled code calls it.

    State is handed on as tuples of arrays, which a real call would copy: that took four fifths of the time.
    `_nrt=False` leaves out reference counting, which took nine tenths before; so a compiled function may not allocate.
    """
    return cast(F, _compiled(function, forceinline=True))


def entry_point(function: F) -> F:
    """Compile a function that Python calls, on its first call, or take it from the store."""
    return cast(F, _compiled(function))


def compiled_before(function: Callable[..., object]) -> bool:
    """Whether an entry point is compiled; if not, its first call takes as long as the compiler (the twin: 30 s)."""
    return not isinstance(function, Dispatcher) or bool(function.overloads) or _stored(function.py_func)


def kept() -> bool:
    """Whether machine code can be kept for the next process."""
    return store().write is not None


@cache
def store() -> Store:
    """The folders of this version's machine code.

    They are in the user's cache folder (below NUMBA_CACHE_DIR where that is set), else in a temporary folder of the
    user's own. Machine code is also taken from a folder that cannot be written, as in a container's image. Folders of
    other versions that nobody has used for a while are removed.
    """
    fingerprint = _fingerprint()
    if fingerprint is None:
        return Store((), None)
    given = os.environ.get("NUMBA_CACHE_DIR")
    usual = (Path(given) / NAME if given else user_cache_path(NAME, appauthor=False)) / f"twin-{fingerprint}"
    if _usable(usual):
        return Store((usual,), usual)
    private = _private_folder()
    if private is None or not _usable(private / usual.name):
        return Store((usual,), None)
    return Store((usual, private / usual.name), private / usual.name)


class MachineCode:
    """What Numba asks for compiled versions of one function, in place of its own cache."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._name = _name(function)

    def load_overload(self, signature: object, target: Any) -> Any:
        """The version for this signature, or None; a file that is broken is removed."""
        target.refresh()
        for folder in store().read:
            path = folder / self._file(signature, target.codegen())
            code = _read(path)
            if code is None:
                continue
            try:
                return CompileResult._rebuild(target, *pickle.loads(code))
            except Exception:  # whatever is wrong with it, compiling mends it
                _remove(path)
        return None

    def save_overload(self, signature: object, result: Any) -> None:
        """Keep a version, if there is a place for it."""
        folder = store().write
        if folder is not None and not result.library.has_dynamic_globals:
            with suppress(OSError):
                code = dumps(result._reduce())
                path = folder / self._file(signature, result.codegen)
                write_whole(path, hashlib.sha256(code).digest() + code)

    def _file(self, signature: object, codegen: Any) -> str:
        return f"{self._name}-{_hash(repr((signature, codegen.magic_tuple())).encode())}"


def _compiled(function: Callable[..., object], **options: bool) -> Any:
    compiled = numba.njit(nogil=True, error_model="numpy", _nrt=False, **options)(function)
    if isinstance(compiled, Dispatcher):  # else NUMBA_DISABLE_JIT is set
        compiled._cache = MachineCode(function)  # type: ignore[attr-defined]
    return compiled


def _fingerprint() -> str | None:
    """A hash of all that decides the machine code; None where the sources are not to be seen, as in a zip file."""
    package = Path(__file__).parents[1]
    sources = sorted(package.rglob("*.py"))
    if not sources:
        return None
    settings = {key: value for key, value in os.environ.items() if key.startswith("NUMBA_") and key not in _HARMLESS}
    cpu = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    made_by = (numba.__version__, llvm.llvm_version_info, sys.version, cpu, sorted(settings.items()))
    parts = [repr(made_by).encode()]
    for source in sources:
        parts += [str(source.relative_to(package)).encode(), source.read_bytes()]
    return _hash(*parts)


def _usable(folder: Path) -> bool:
    """Whether files can be written to the folder, made if need be; then its neighbours are looked through."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        os.utime(folder)
    except OSError:
        return False
    for other in folder.parent.glob("twin-*"):
        with suppress(OSError):
            if other != folder and other.stat().st_mtime < time.time() - UNUSED_S:
                shutil.rmtree(other, ignore_errors=True)
    return True


def _private_folder() -> Path | None:
    """A temporary folder that nobody else can write to: what lies there is run. None where there can be none."""
    if not hasattr(os, "getuid"):
        return Path(tempfile.gettempdir()) / NAME  # Windows: the user's own anyway
    try:
        folder = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if private else None


def _stored(function: Callable[..., object]) -> bool:
    return any(_read(path) for folder in store().read for path in folder.glob(f"{_name(function)}-*"))


def _name(function: Callable[..., object]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


def _read(path: Path) -> bytes | None:
    """What was written, or None; a file that is not whole is removed."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[_DIGEST:]).digest() == data[:_DIGEST]:
        return data[_DIGEST:]
    _remove(path)
    return None


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
