"""Times the cases until the time is over; every figure is written as soon as it is known."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calibrate.errors import CalibrationError
from calibrate.kernels.batch import REPEATS, Batch, microseconds
from calibrate.kernels.cases import Case, cases
from calibrate.kernels.vllm_kernels import Kernels
from twin.progress import bar

SPARE = 0.4
"""Share of the GPU's memory that a case's slots may take."""

REFUSED = 5
"""Cases in a row that a GPU may refuse; one that has lost its way refuses all."""


def measured(path: Path) -> dict[Case, dict[str, Any]]:
    """The figures of a file, by case; a line that broke off is passed over."""
    found = dict[Case, dict[str, Any]]()
    if not path.exists():
        return found
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
            found[_case(row)] = row
        except (ValueError, KeyError, TypeError):
            continue
    return found


def measure(kernels: Kernels, path: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """Time what the file lacks, in order of worth, for so many seconds; one line a case is added to it.

    A case that the GPU refuses is left out.

    Raises:
        CalibrationError: there is no GPU, it refuses one case after another, or the file cannot be written.
    """
    import torch

    if not torch.cuda.is_available():
        raise CalibrationError("no GPU here: kernels are timed on one")
    most_gib = SPARE * torch.cuda.get_device_properties(0).total_memory / 2**30
    known, end, begin, refused = measured(path), time.monotonic() + seconds, time.monotonic(), 0
    about = {"gpu": torch.cuda.get_device_name(), "vllm": kernels.version, "torch": torch.__version__}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file, bar("timing kernels", seconds) as shown:
            for case in cases(most_gib):
                if time.monotonic() > end:
                    break
                if case in known:
                    continue
                shown.show(time.monotonic() - begin, what=f"rank {case.rank}, {case.slots} slots, {case.tokens} tokens")
                try:
                    times = _times(kernels, case, case.copies(most_gib, REPEATS))
                except RuntimeError as error:  # out of memory, or of what a thread block may have
                    refused += 1
                    if refused == REFUSED:
                        raise CalibrationError(f"{refused} cases refused in a row, the last {case}: {error}") from error
                    continue
                finally:
                    kernels.forget()
                refused = 0
                row = {**case._asdict(), **times, **about}
                file.write(json.dumps(row) + "\n")
                file.flush()
                yield row
    except OSError as error:
        raise CalibrationError(f"{path}: cannot write: {error.strerror}") from error


def _times(kernels: Kernels, case: Case, copies: int) -> dict[str, float]:
    import torch
    from triton.errors import TritonError

    batch = Batch(kernels, case, "cuda", copies)
    try:
        times = {"shrink_us": microseconds(batch.shrink), "expand_us": microseconds(batch.expand)}
    except TritonError as error:
        raise RuntimeError(str(error)) from error
    del batch
    torch.cuda.empty_cache()
    return {name: round(value, 3) for name, value in times.items()}


def _case(row: dict[str, Any]) -> Case:
    return Case(
        row["inputs"],
        tuple(row["outputs"]),
        row["rank"],
        row["slots"],
        row["adapters"],
        row["tokens"],
        row["specialize"],
    )
