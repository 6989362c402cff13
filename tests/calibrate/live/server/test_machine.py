"""Provenance: the GPUs that nvidia-smi lists, or the CPU."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import pytest

from calibrate.errors import CalibrationError
from calibrate.live.server.machine import Gpu, this_machine


def _says(text: str) -> list[str]:
    return [sys.executable, "-c", f"print({text!r})"]


def test_gpus() -> None:
    machine = this_machine(
        _says("NVIDIA H100 PCIe, 65247, 535.104.05, 345, 310.00\nTesla T4, 15360, 550.1, [N/A], [N/A]")
    )
    assert machine.gpus == (
        Gpu("NVIDIA H100 PCIe", 65247, "535.104.05", 345, 310),
        Gpu("Tesla T4", 15360, "550.1", None, None),
    )


def test_no_gpu() -> None:
    machine = this_machine(["no-such-command"])
    assert machine.gpus == ()
    assert machine.cores >= 1
    assert machine.memory_gib > 0
    assert datetime.now(UTC) - datetime.fromisoformat(machine.date) < timedelta(minutes=1)
    assert machine.provenance()["gpus"] == ()


def test_an_odd_answer_is_refused() -> None:
    with pytest.raises(CalibrationError, match="were asked, not"):
        this_machine(_says("no devices"))
    with pytest.raises(CalibrationError, match="status 9: no driver"):
        this_machine([sys.executable, "-c", "print('no driver'); raise SystemExit(9)"])
