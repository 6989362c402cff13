"""The installed command on the small zoo."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.advisor.cli.command import COMMAND, Run


@pytest.fixture
def run(zoo: Path, tmp_path: Path) -> Run:
    """Run `advisor` in an empty directory, on the small zoo unless told otherwise."""

    def run(*args: str | Path, zoo: Path | None = zoo) -> subprocess.CompletedProcess[str]:
        words = [*args, *(["--zoo", zoo] if zoo else [])]
        return subprocess.run([COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)

    return run
