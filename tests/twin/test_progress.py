from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys

WORK = """
import sys, time
from twin.progress import bar, watched
print(*watched([1, 2, 3], "counting"))
with bar("measuring", 100.0) as shown:
    shown.show(40.0, what="the second", left_s=300.0)
    time.sleep(0.3)
    shown.begin(4)
    shown.show(3, what="the third", left_s=60.0)
    time.sleep(0.3)
    shown.begin(None)
    shown.say("the rest")
    time.sleep(0.3)
print("rich" in sys.modules)
"""


def test_a_bar_is_drawn_on_a_terminal() -> None:
    terminal, stderr = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen([sys.executable, "-c", WORK], stdout=subprocess.PIPE, stderr=stderr, env=environment) as work:
        os.close(stderr)
        drawn = b""
        with contextlib.suppress(OSError):  # the terminal has no other end any more
            while part := os.read(terminal, 4096):
                drawn += part
        os.close(terminal)
        assert work.stdout is not None and work.stdout.read().split() == [b"1", b"2", b"3", b"True"]
    assert b"counting: 2 of 3" in drawn
    assert b"about 5 min left" in drawn and b"the second" in drawn
    assert (_filled(drawn, "the second"), _filled(drawn, "the third")) == (8, 15)  # of 20 characters
    assert b"the rest" in drawn.rpartition(b"the third")[2]


def _filled(drawn: bytes, what: str) -> int:
    """Characters of the bar that are drawn as done beside these words."""
    last = [line for line in re.split("[\r\n]", drawn.decode()) if what in line][-1]
    found = re.search("\x1b\\[[0-9;]*m(━+)", last)
    return len(found[1]) if found else 0


def test_without_a_terminal_nothing_is_drawn_and_rich_not_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, check=True)
    assert done.stdout.decode().split() == ["1", "2", "3", "False"]
    assert done.stderr == b""
