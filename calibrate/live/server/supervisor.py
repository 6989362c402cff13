"""Runs a command and outlives it: when the command ends, or whoever asked for it, nothing of it is left.

    python supervisor.py OWNER GRACE COMMAND…

OWNER is the process whose end ends the command, GRACE the seconds between asking the command to end and killing it.
A process of its own does this because a process that is killed cannot clean up after itself, and because vLLM's engine
survives the death of the server that started it. Imports the standard library only: it is run by its path.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

POLL_SECONDS = 0.2
_PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h"""


def main(owner: int, grace: float, command: list[str]) -> int:
    """Run the command to its end, the owner's, or a signal's; return its exit status, 128 + n if signal n ended it."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.set())
    _adopt_orphans()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        while child.poll() is None and os.getppid() == owner and not stopped.wait(POLL_SECONDS):
            pass
    finally:
        _end(child, grace)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _end(child: subprocess.Popen[bytes], grace: float) -> None:
    """Ask the command's group to end, then kill what is left of it, in the group and out of it."""
    _signal_group(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(grace)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()
    while orphans := list(_children()):
        for orphan in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs, so that they can be found; where there is no Linux, not."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children() -> Iterator[int]:
    """Processes whose parent this is: the second field after the name in `/proc/<pid>/stat`."""
    me = os.getpid()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == me:
                yield int(folder.name)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
