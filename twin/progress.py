"""How far long work is: a bar on stderr, if that is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")

LINE = 100
"""Characters of what is being done that are shown."""


class Bar:
    """Shows how much is done, what, and how long the rest takes; without a terminal, nothing."""

    def __init__(self, progress: Progress | None, what: str, total: float | None) -> None:
        self._progress, self._total, self._began = progress, total, time.monotonic()
        if progress is not None:
            self._task = progress.add_task(what[:LINE], total=total, left="")

    def begin(self, total: float | None) -> None:
        """Go on with something of another total, of which nothing is done yet; None: nobody knows how much it is."""
        self._total, self._began = total, time.monotonic()
        if self._progress is not None:
            self._progress.update(self._task, completed=0, left="")
            next(task for task in self._progress.tasks if task.id == self._task).total = total

    def show(self, done: float, *, what: str | None = None, left_s: float | None = None) -> None:
        """Say that `done` of the total is done; `left_s` seconds are left, by the pace so far where it is None."""
        if self._progress is None:
            return
        if left_s is None and self._total and done:
            left_s = (time.monotonic() - self._began) * (self._total - done) / done
        left = "" if left_s is None else f"about {left_s / 60:.0f} min left"
        self._progress.update(self._task, completed=done, left=left)
        if what is not None:
            self.say(what)

    def say(self, what: str) -> None:
        """Change the words beside the bar."""
        if self._progress is not None:
            self._progress.update(self._task, description=what[:LINE])


@contextmanager
def bar(what: str, total: float | None, *, quiet: bool = False) -> Iterator[Bar]:
    """A bar for the block, which goes when the block ends; `total` in any unit, None where it is not known."""
    if quiet or not sys.stderr.isatty():
        yield Bar(None, what, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(20), TextColumn("{task.fields[left]}"), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress, what, total)


def watched(items: Iterable[T], what: str, total: int | None = None, *, quiet: bool = False) -> Iterator[T]:
    """The items, with a bar that shows how many are done; `quiet` shows none, for there is one around it."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(what, total, quiet=quiet) as shown:
        for done, item in enumerate(items):
            shown.show(done, what=what if total is None else f"{what}: {done} of {total}")
            yield item
