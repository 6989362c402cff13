"""GPUs simulated on the workers of a Dask scheduler: fleets beyond one machine's patience."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from advisor.errors import InputError

T = TypeVar("T")
R = TypeVar("R")
Mapped = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""As the built-in `map`: the results of a function, in the order of what it is given."""
CONNECT_S = 10
"""A scheduler that does not answer for so long is not there."""


@contextmanager
def spread_over(scheduler: str) -> Iterator[Mapped]:
    """A `map` whose calls the workers of this scheduler do, such as tcp://host:8786. They need the same installation.

    Raises:
        InputError: no scheduler answers there, or what speaks to it is not installed.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise InputError(
            f"Dask needs {error.name}, which is not installed: pip install 'adapter-advisor[zoo]'"
        ) from error
    try:
        client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{scheduler}: no Dask scheduler answers there") from error

    def mapped(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        for future in client.map(function, list(items), pure=False):
            yield future.result()

    with client:
        yield mapped
