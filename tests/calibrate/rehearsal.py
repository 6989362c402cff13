"""`calibrate/borrowed.sh` from the first step to the last where there is neither GPU nor vLLM.

    python -m tests.calibrate.rehearsal

runs all of it against kernels and servers that only pretend, and tells what each step may take on the machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.calibrate.live.measurements.test_campaign import REPOSITORY, make

SCRIPT = "calibrate/borrowed.sh"
PYTHON = """#!{python}
import os, sys
if sys.argv[1:4] == ["-m", "calibrate", "check-kernels"]:
    print("as torch has it")
elif sys.argv[1:4] == ["-m", "calibrate", "kernels"]:
    from itertools import islice
    from pathlib import Path
    from calibrate.kernels.cases import cases
    from tests.calibrate.kernels.timed import write_rows
    write_rows(Path(sys.argv[sys.argv.index("-o") + 1]), islice(cases(50.0), 200))
else:
    os.execv("{python}", ["{python}", *sys.argv[1:]])
"""
"""A Python whose kernels are timed at once."""
HASTE = "--hour-seconds 1"


class Rehearsal:
    """The machine, its parcels and what comes back, in a folder."""

    def __init__(self, folder: Path, slots: str) -> None:
        self.results, parcels = folder / "results", folder / "parcels"
        (parcels / "1" / "kernels").mkdir(parents=True)
        vllm = Path(make(folder, most=10_000).vllm)
        # Tokens come forty at a time: the client has to be as fast as the machine it will run on.
        vllm.write_text(vllm.read_text().replace("FakeVllm(", "FakeVllm(per_chunk=40, "))
        python = folder / "python"
        python.write_text(PYTHON.format(python=sys.executable))
        python.chmod(0o755)
        self._environment = {
            **os.environ,
            "PYTHON": str(python),
            "PARCELS": str(parcels),
            "WORK": str(folder / "work"),
            "SHAPE": "tiny-llama",
            "SLOTS": slots,
            "FLAGS": f"{HASTE} --vllm {vllm}",
        }

    def step(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A call of the script."""
        command = [str(REPOSITORY / SCRIPT), *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=self._environment)


def main() -> int:
    """All steps in turn."""
    with tempfile.TemporaryDirectory() as folder:
        rehearsal = Rehearsal(Path(folder), "32 0 128 1")
        planned = rehearsal.step("times")
        print(planned.stdout, end="")
        failed = planned.returncode
        for words in (["kernels", str(rehearsal.results)], ["servers", str(rehearsal.results)]):
            began = time.monotonic()
            done = rehearsal.step(*words)
            took, left = time.monotonic() - began, sorted(file.name for file in rehearsal.results.glob("[!.]*"))
            print(f"{words[0]}: {took:.0f} s where all only pretends, status {done.returncode}; {', '.join(left)}")
            if done.returncode:
                print(done.stdout, done.stderr)
            failed = failed or done.returncode
        log = (rehearsal.results / "calibrate.log").read_text()
        print(f"all servers measured: {'all is measured' in log}")
        fitted = [sys.executable, "-m", "calibrate", "fit-kernels", str(rehearsal.results / "kernels.jsonl")]
        return failed or subprocess.run(fitted, check=False, cwd=REPOSITORY).returncode or "all is measured" not in log


if __name__ == "__main__":
    sys.exit(main())
