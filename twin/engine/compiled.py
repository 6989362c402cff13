"""How the twin is compiled: once per version of its sources, cached where the user may write.

Numba notices only changes of the file a function stands in, and the twin's functions call one another across files;
so the cache folder carries a hash of all of them. It also makes an installed wheel in a read-only place work.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import numba
from platformdirs import user_cache_path

F = TypeVar("F", bound=Callable[..., object])


def sources_hash() -> str:
    """Twelve hex digits that change with any source file of the twin."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


if "NUMBA_CACHE_DIR" not in os.environ:
    numba.config.CACHE_DIR = str(user_cache_path("adapter-advisor", appauthor=False) / f"twin-{sources_hash()}")


def jit(function: F) -> F:
    """Compile a function to machine code that is inlined wherever compiled code calls it.

    State is handed on as tuples of arrays, which a real call would copy: that took four fifths of the time.
    `_nrt=False` leaves out reference counting, which took nine tenths before; so a compiled function may not allocate.
    """
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=True)(function))


def entry_point(function: F) -> F:
    """Compile a function that Python calls, on its first call, or take it from the cache."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function))


def compiled_before() -> bool:
    """Whether the cache holds the compiled twin; if not, its first step takes half a minute."""
    return any(Path(numba.config.CACHE_DIR).rglob("serving.serve-*.nbi"))
