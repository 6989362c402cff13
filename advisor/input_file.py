"""Files that users hand in: read whole, up to a limit, and never from what has no end."""

from __future__ import annotations

import codecs
import os
import stat
import sys
import zlib
from pathlib import Path

from advisor.errors import InputError

_MARKS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read(path: Path, what: str, most: int) -> bytes:
    """The bytes of a file or of a pipe, such as a shell's `<(...)`; `-` is the standard input.

    `what` names the kind of file in messages: "an inventory is a TOML file".

    Raises:
        InputError: no such file, a folder or a device, a pipe that nobody writes to, or more than `most` bytes.
    """
    try:
        descriptor = _open(path, what)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(most + 1)
            pipe = not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}; {what}") from error
    if len(data) > most:
        raise InputError(f"{path}: more than {most:,} bytes; {what}")
    if pipe and not data:
        raise InputError(f"{path}: a pipe that nothing comes from; {what}")
    return data


def read_text(path: Path, what: str, most: int) -> str:
    """The text of such a file, UTF-8.

    Raises:
        InputError: as `read`, or it is not UTF-8.
    """
    try:
        return read(path, what, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); {what}") from error


def read_export(path: Path, what: str, most: int) -> str:
    """The text of a file that another program wrote: also packed by gzip, or in UTF-16 with its mark.

    Raises:
        InputError: as `read_text`; `most` is of what is unpacked, too.
    """
    return decoded(read(path, what, most), path, what, most)


def decoded(data: bytes, where: Path | str, what: str, most: int) -> str:
    """The text of what another program wrote, as `read_export` has it.

    Raises:
        InputError: it is not UTF-8, or broken, or unpacks to more than `most` bytes.
    """
    if data.startswith(b"\x1f\x8b"):
        data = _unpacked(data, where, what, most)
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8-sig")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = "UTF-8" if encoding == "utf-8-sig" else "UTF-16"
        raise InputError(f"{where}: not {name} text (byte {error.start}); {what}") from error


def _unpacked(data: bytes, where: Path | str, what: str, most: int) -> bytes:
    """What gzip packed, of one or several members."""
    parts, size = list[bytes](), 0
    try:
        while data:
            unpacker = zlib.decompressobj(wbits=31)
            parts.append(unpacker.decompress(data, most + 1 - size))
            size += len(parts[-1])
            if size > most:
                raise InputError(f"{where}: more than {most:,} bytes, unpacked; {what}")
            if not unpacker.eof:
                raise InputError(f"{where}: packed by gzip, and cut short; {what}")
            data = unpacker.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise InputError(f"{where}: packed by gzip, and broken ({error}); {what}") from error
    return b"".join(parts)


def _open(path: Path, what: str) -> int:
    if str(path) == "-":
        if sys.stdin is None:
            raise InputError(f"{path}: the standard input is closed; {what}")
        return os.dup(sys.stdin.fileno())
    # Not blocking: a named pipe without a writer would be waited for without end.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind) or stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
        os.set_blocking(descriptor, True)  # a pipe that has a writer is worth to be waited for
        return descriptor
    os.close(descriptor)
    found = "a folder" if stat.S_ISDIR(kind) else "a device"
    empty = " (or is its name empty?)" if path == Path() else ""
    raise InputError(f"{path}: {found}{empty}; {what}")
