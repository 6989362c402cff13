"""The installed command, as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.advisor.small_zoo import NAME

COMMAND = Path(sys.executable).with_name("advisor")
Run = Callable[..., subprocess.CompletedProcess[str]]
BASIS = {
    "pair": NAME,
    "model": "example/Tiny-1B",
    "gpu": "test-gpu",
    "vllm": "0.8.5",
    "measured": "made up",
    "built": "2026-11-28",
}


def check_refused(done: subprocess.CompletedProcess[str], directory: Path) -> None:
    """Exit code 2, one line on stderr, nothing on stdout, nothing written."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("advisor: ")
    assert done.stderr.count("\n") == 1
    assert {path.name for path in directory.iterdir()} <= {"inventory.toml"}
