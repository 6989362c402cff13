from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from twin.lock import locked


def test_a_folder_has_one_writer_until_the_writer_dies(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    code = f"""
import pathlib, time
from twin.lock import locked
with locked(pathlib.Path({str(folder)!r})):
    print("mine", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"mine\n"
        with pytest.raises(BlockingIOError), locked(folder):
            pass
        writer.kill()
    (folder / "half.unfinished").touch()
    with locked(folder):
        assert not (folder / "half.unfinished").exists()
    assert not folder.exists()  # nothing came of it
