"""What a command shows and leaves behind: reports, whole files or none, and how it was called."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import typer
from rich.console import Console, RenderableType

from calibrate.errors import CalibrationError
from twin import lock
from twin.files import write_whole

PAPER_WIDTH = 140
"""Columns of a report that goes to no terminal."""


def show(result: RenderableType) -> None:
    """Print a report."""
    console = Console()
    console.print(result) if console.is_terminal else Console(width=PAPER_WIDTH).print(result)


def finite(value: float | None) -> float | None:
    """For options: refuse `inf` and `nan`, which pass for numbers of any size.

    Raises:
        typer.BadParameter: it is one of them.
    """
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("a finite number wanted")
    return value


def called() -> str:
    """The command that runs, with paths outside the working directory cut to what others can know of them."""
    return shlex.join(["python", "-m", "calibrate", *(_public(argument) for argument in sys.argv[1:])])


def _public(argument: str) -> str:
    path = Path(argument)
    outside = path.is_absolute() or argument.startswith("..")
    return "/".join(path.parts[-2:]) if outside else argument


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other calibrations out of a work folder (see `twin.lock.locked`).

    Raises:
        CalibrationError: one is at work there, or the folder cannot be written into.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(lock.locked(folder))
        except BlockingIOError:
            raise CalibrationError(
                f"{folder}: another calibration is at work here; let it end, or use another folder"
            ) from None
        except OSError as error:
            raise CalibrationError(f"{folder}: cannot write into the folder: {error.strerror}") from error
        yield


def write(path: Path, content: bytes, *, overwrite: bool = True) -> None:
    """Write the whole file or nothing.

    Raises:
        CalibrationError: it cannot be written, or is there already and not to be replaced.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content, overwrite=overwrite)
    except OSError as error:
        there = isinstance(error, FileExistsError) and path.parent.is_dir()
        reason = "is there already; --force replaces it" if there else f"cannot write the file: {error.strerror}"
        raise CalibrationError(f"{path}: {reason}") from error
