"""Write files whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)
"""How file systems without hard links (FAT, some network mounts) say so."""


class File(NamedTuple):
    """A file to be written."""

    path: Path
    """Its folder exists."""
    data: bytes
    mode: int = 0o666
    """Permissions, before the process's umask takes some away; 0o777 for a program."""


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
    write_all([File(path, data, mode)], overwrite=overwrite)


def write_all(files: Sequence[File], *, overwrite: bool = True) -> None:
    """Write files as `write_whole` does, together: none gets its name before all of them are on the disk.

    Raises:
        FileExistsError, OSError: as `write_whole`; then none of them is there that was not before.
    """
    staged, added = list[Path](), list[Path]()
    try:
        for file in files:
            if file.path.exists() and not file.path.is_file():
                raise OSError(errno.EINVAL, "not a regular file", str(file.path))
            staged.append(file.path.with_name(f".{secrets.token_hex(8)}.unfinished"))
            # The umask counts and no other file is touched, neither of which `tempfile` has to offer.
            with os.fdopen(os.open(staged[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode), "wb") as unfinished:
                unfinished.write(file.data)
        for path, file in zip(staged, files, strict=True):
            if overwrite:
                path.replace(file.path)
            else:
                _add(path, file.path)
                added.append(file.path)
    except BaseException:
        for path in added:
            path.unlink()
        raise
    finally:
        for path in staged:
            path.unlink(missing_ok=True)


def _add(unfinished: Path, path: Path) -> None:
    """Give the file its name, if that is free."""
    try:
        path.hardlink_to(unfinished)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        path.touch(exist_ok=False)
        unfinished.replace(path)
