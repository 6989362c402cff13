"""stdout and stderr: the answer on the one, notes on the other, and what happens where one of them fails."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

WIDTH = 80
"""Columns where the answer goes to no terminal."""


class OutputError(Exception):
    """The answer could not be written to stdout; the message is one line that says why."""


def prepare() -> bool:
    """Make the streams behave as those of other commands do; False, with a note, where stdout is closed.

    A reader of stdout who leaves early, such as `head`, ends the process by SIGPIPE, and without a word.
    """
    if sys.stderr is None:  # closed by the caller; the next file that is opened would become it
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        note("cannot write the answer: stdout is closed")
        return False
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name must not fail on a terminal that lacks its letters
    _on_closed_pipe(signal.SIG_DFL)
    return True


def write(text: str, end: str = "\n") -> None:
    """Write a part of the answer to stdout.

    Raises:
        OutputError: it cannot be written; whatever was is still incomplete.
    """
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        silence(sys.stdout)
        raise OutputError(f"cannot write the answer: {error.strerror}") from error


def note(message: str) -> None:
    """Write a line to stderr, wrapped on a terminal; where that fails, the exit code alone has to say it."""
    text = f"advisor: {message}"
    if sys.stderr.isatty():
        columns = shutil.get_terminal_size().columns
        text = textwrap.fill(text, columns, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
    with quiet_stderr():
        print(text, file=sys.stderr, flush=True)


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Notes are written in here: that nobody can read them changes nothing else."""
    previous = _on_closed_pipe(signal.SIG_IGN)
    try:
        yield
    except OSError:
        silence(sys.stderr)
    finally:
        _on_closed_pipe(previous)


def silence(stream: TextIO) -> None:
    """Point a stream that failed to nowhere: the interpreter would complain of what it still holds on its way out."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _on_closed_pipe(action: Any) -> Any:
    """Set what a write to a pipe without a reader does; returns what it did before. Windows has no such signal."""
    return signal.signal(signal.SIGPIPE, action) if hasattr(signal, "SIGPIPE") else None


def width() -> int | None:
    """Columns of the terminal that the answer goes to; None where it goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def draws_blocks() -> bool:
    """Whether stdout takes more than ASCII."""
    try:
        "█▏".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
