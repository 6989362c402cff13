"""Signals that end a command."""

from __future__ import annotations

import signal
import sys


def undo_when_killed() -> None:
    """Have SIGTERM and SIGHUP end the process as an error does, so that no half written file stays behind."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # else nohup wants it ignored
            signal.signal(number, lambda number, _: sys.exit(128 + number))
