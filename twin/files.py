"""Write a file whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)
"""How file systems without hard links (FAT, some network mounts) say so."""


def write_whole(path: Path, data: bytes, *, mode: int = 0o666, overwrite: bool = True) -> None:
    """Write `data` under another name in the same folder, then rename it: a reader finds the old file or the new one.

    A symbolic link at `path` is replaced, never followed. An error or Ctrl-C leaves nothing behind.

    Args:
        path: the file; its folder exists.
        data: all of the content.
        mode: permissions, before the process's umask takes some away; 0o777 for a program.
        overwrite: replace what is there. Otherwise it stays, also when it appears in this very moment.

    Raises:
        FileExistsError: something is there, and `overwrite` is false.
        OSError: it cannot be written, or `path` is a folder, a device or a pipe, also by way of a link.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    unfinished = path.with_name(f".{secrets.token_hex(8)}.unfinished")
    try:
        # The umask counts and no other file is touched, neither of which `tempfile` has to offer.
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
        if overwrite:
            unfinished.replace(path)
        else:
            _add(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _add(unfinished: Path, path: Path) -> None:
    """Give the file its name, if that is free."""
    try:
        path.hardlink_to(unfinished)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        path.touch(exist_ok=False)
        unfinished.replace(path)
