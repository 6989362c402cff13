"""Parcels for a borrowed machine: none too large, and whole again where they come together."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from calibrate.errors import CalibrationError
from calibrate.parcels import MIB, pack


def test_parts_fit_and_come_together_again(tmp_path: Path) -> None:
    sizes = {"a.whl": 2.5, "b.whl": 0.25, "c.whl": 1.0}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(random.Random(name).randbytes(int(size * MIB)))
    first = tmp_path / "first"
    (first / "kernels").mkdir(parents=True)
    (first / "kernels" / "version").write_text("0.24.0")
    (first / "small.whl").write_bytes(b"small")
    parcels = pack(first, [tmp_path / name for name in sizes], tmp_path / "parcels", 1.0)
    assert [each.name for each in parcels] == ["1", "2", "3", "4", "5"]
    assert (parcels[0] / "kernels" / "version").read_text() == "0.24.0"
    assert (parcels[0] / "small.whl").read_bytes() == b"small"
    for each in parcels:
        assert sum(file.stat().st_size for file in each.rglob("*") if file.is_file()) <= MIB
    for name in sizes:
        parts = sorted((tmp_path / "parcels").glob(f"*/{name}.part-*"))
        assert [part.parent.name for part in parts] == sorted(part.parent.name for part in parts)
        assert b"".join(part.read_bytes() for part in parts) == (tmp_path / name).read_bytes()


def test_what_cannot_be_packed_is_told(tmp_path: Path) -> None:
    first, full = tmp_path / "first", tmp_path / "full"
    for folder in (first, full):
        folder.mkdir()
        (folder / "large.whl").write_bytes(bytes(2 * MIB))
    with pytest.raises(CalibrationError, match="2 MiB, more than 1"):
        pack(first, [], tmp_path / "parcels", 1.0)
    with pytest.raises(CalibrationError, match="not empty"):
        pack(first, [], full, 3.0)
    with pytest.raises(CalibrationError, match="none: no such folder"):
        pack(tmp_path / "none", [], tmp_path / "parcels", 1.0)
    words = [sys.executable, "-m", "calibrate", "parcel", str(tmp_path / "none.whl"), "--first", str(first)]
    done = subprocess.run([*words, "-o", str(tmp_path / "to")], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "none.whl: No such file" in done.stderr and done.stderr.count("\n") == 1
