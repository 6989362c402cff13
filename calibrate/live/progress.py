"""What a calibration shows while it runs, and the log it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from calibrate.errors import CalibrationError


class Display:
    """A bar on a terminal, and lines in a log file.

    The bar moves by estimated seconds, for measurements last from a moment to many minutes.
    """

    def __init__(self, log: Path, bar: Progress, left_s: Callable[[], float]) -> None:
        self._log, self._bar, self._left_s = log, bar, left_s
        self._task = bar.add_task("", total=max(left_s(), 1.0), left="")

    def say(self, line: str) -> None:
        """What begins."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(f"{now} {line}\n")
        except OSError as error:
            raise CalibrationError(f"{self._log}: cannot write the log: {error.strerror}") from error
        left_s, total = self._left_s(), self._bar.tasks[self._task].total or 1.0
        left = f"about {left_s / 60:.0f} min left"
        self._bar.update(self._task, description=line, completed=total - left_s, left=left)

    def watch(self, line: str) -> None:
        """How it goes on; not for the log."""
        self._bar.update(self._task, description=line[:100])


@contextmanager
def display(log: Path, left_s: Callable[[], float]) -> Iterator[Display]:
    """Show and log what is done within the block; `left_s` estimates the seconds that are left of it."""
    console = Console(stderr=True)
    columns = (BarColumn(20), TextColumn("{task.fields[left]}"), TimeElapsedColumn(), TextColumn("{task.description}"))
    log.parent.mkdir(parents=True, exist_ok=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        yield Display(log, bar, left_s)
