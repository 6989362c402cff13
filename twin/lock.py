"""One writer a folder."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others out of a folder, which is made where there is none, until the work in it is done or dies.

    Whoever comes second is refused, not kept waiting: the work takes long, and after it little is left to do.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: it cannot be made or written into.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(errno.EWOULDBLOCK, "another process is at work here", str(folder)) from None
    for left in folder.glob("*.unfinished"):
        left.unlink()  # by a writer that was killed: there is no other now
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # before it is released: filelock refuses a file that is gone
        lock.release()
        with suppress(OSError):
            folder.rmdir()  # where nothing came of the work
