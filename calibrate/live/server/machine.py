"""What a measurement was made on; read only, nothing is set, and nothing tells whose machine it is."""

from __future__ import annotations

import csv
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from calibrate.errors import CalibrationError

_QUERY = (
    "nvidia-smi",
    "--query-gpu=name,memory.total,driver_version,clocks.sm,power.limit",
    "--format=csv,noheader,nounits",
)
_CPU_NAME = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU by `nvidia-smi`; None is what it does not tell."""

    name: str
    memory_mib: float | None
    driver: str
    sm_clock_mhz: float | None
    """When asked, hence an idle one's."""
    power_limit_w: float | None


@dataclass(frozen=True, slots=True)
class Machine:
    """What a measurement was made on."""

    date: str
    """UTC, ISO 8601."""
    cpu: str
    cores: int
    """Those that this process may use."""
    memory_gib: float
    gpus: tuple[Gpu, ...] = ()
    """All that are visible to `nvidia-smi`; none: vLLM ran on the CPU."""

    def provenance(self) -> dict[str, object]:
        """The same as plain data."""
        return asdict(self)


def this_machine(query: Sequence[str] = _QUERY) -> Machine:
    """What this process runs on.

    Args:
        query: the command that lists the GPUs; where there is no such command there are no GPUs.

    Raises:
        CalibrationError: the command answers otherwise than `nvidia-smi`.
    """
    information = Path("/proc/cpuinfo")
    found = _CPU_NAME.search(information.read_text()) if information.exists() else None
    return Machine(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu=found[1].strip() if found else "unknown",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        gpus=_gpus(query),
    )


def _gpus(query: Sequence[str]) -> tuple[Gpu, ...]:
    try:
        asked = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        return ()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CalibrationError(f"{query[0]}: does not answer: {error}") from error
    if asked.returncode != 0:
        raise CalibrationError(f"{query[0]}: status {asked.returncode}: {(asked.stdout + asked.stderr).strip()}")
    rows = [row for row in csv.reader(asked.stdout.splitlines(), skipinitialspace=True) if row]
    if any(len(row) != 5 for row in rows):
        raise CalibrationError(f"{query[0]}: name, memory, driver, clock and power limit were asked, not {rows}")
    return tuple(
        Gpu(name, _number(memory), driver, _number(clock), _number(power))
        for name, memory, driver, clock, power in rows
    )


def _number(text: str) -> float | None:
    """A figure, or None for `[N/A]` and the like."""
    try:
        return float(text)
    except ValueError:
        return None
