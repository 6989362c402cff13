"""`python -m calibrate.recording FOLDER CASES SEED`: record what the installed vLLM's scheduler decides, of every kind.

It needs no more than vLLM does, so that `python -m calibrate check-schedule` can have another Python run it.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

from calibrate.errors import CalibrationError
from calibrate.recording import record
from calibrate.recording.recordings import Recordings, encode


def main(folder: Path, cases: int, seed: int) -> None:
    """Record workloads sync and async, without and with prefix caching: a file each."""
    vllm = record.version()
    for async_scheduling, prefixes in product((False, True), repeat=2):
        chosen = record.cases(cases, seed, block_size=16, prefixes=prefixes)
        found = record.through_scheduler(chosen, async_scheduling=async_scheduling)
        command = f"python -m calibrate.recording {folder} {cases} {seed}"
        recordings = Recordings(
            vllm=vllm, engine=False, async_scheduling=async_scheduling, command=command, recordings=tuple(found)
        )
        kind = f"{'async' if async_scheduling else 'sync'}{', prefix caching' if prefixes else ''}"
        (folder / f"{kind}.json.xz").write_bytes(encode(recordings))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    except CalibrationError as error:
        sys.exit(str(error))
