"""What a calibration shows while it runs, and the log it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from calibrate.errors import CalibrationError
from twin.progress import Bar, bar


class Display:
    """A bar on a terminal, and lines in a log file.

    The bar moves by estimated seconds, for measurements last from a moment to many minutes.
    """

    def __init__(self, log: Path, bar: Bar, total_s: float, left_s: Callable[[], float]) -> None:
        self._log, self._bar, self._total_s, self._left_s = log, bar, total_s, left_s

    def say(self, line: str) -> None:
        """What begins."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            with self._log.open("a", encoding="utf-8") as log:
                log.write(f"{now} {line}\n")
        except OSError as error:
            raise CalibrationError(f"{self._log}: cannot write the log: {error.strerror}") from error
        left_s = self._left_s()
        self._bar.show(self._total_s - left_s, what=line, left_s=left_s)

    def watch(self, line: str) -> None:
        """How it goes on; not for the log."""
        self._bar.say(line)


@contextmanager
def display(log: Path, left_s: Callable[[], float]) -> Iterator[Display]:
    """Show and log what is done within the block; `left_s` estimates the seconds that are left of it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    total_s = max(left_s(), 1.0)
    with bar("", total_s) as shown:
        yield Display(log, shown, total_s, left_s)
