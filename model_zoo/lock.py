"""One writer a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from model_zoo.errors import ZooError

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others out of a folder, which is made where there is none, until the work in it is done or dies.

    Whoever comes second is refused, not kept waiting: a build takes an hour, and after it the same build would find
    nothing left to do.

    Raises:
        ZooError: another process has locked it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ZooError(f"{folder}: another build is at work here; let it end, or use another folder") from None
    for left in folder.glob("*.unfinished"):
        left.unlink()  # by a writer that was killed: there is no other now
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # before it is released: filelock refuses a file that is gone
        lock.release()
        with suppress(OSError):
            folder.rmdir()  # where nothing came of the work
