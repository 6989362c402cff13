"""One build a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from model_zoo.errors import ZooError
from twin import lock


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other builds out of a folder (see `twin.lock.locked`).

    Raises:
        ZooError: another process has locked it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.locked(folder))
        except BlockingIOError:
            raise ZooError(f"{folder}: another build is at work here; let it end, or use another folder") from None
        yield
