"""A coverage-guided fuzzer of `advisor check`: any bytes, as a file of any kind, are read and judged, or refused.

    pip install atheris
    python -m tests.fuzz.deployment_readers FOLDER FOUND [-max_total_time=3600 and other options of libFuzzer]

FOLDER has deployment files to begin with, and an inventory.toml to judge them by. What leads to more code is kept in
FOUND/corpus; what failed in FOUND: an input for each place that raised, and each that took more than two seconds.
"""

from __future__ import annotations

import sys
import time
import traceback
from hashlib import sha256
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["advisor.deploy", "advisor.check"]):
    import advisor.deploy.formats.dockerfile
    import advisor.deploy.formats.python
    import advisor.deploy.formats.unit  # noqa: F401
    from advisor.check.check import MAX_BYTES, Checker
    from advisor.check.fixing import fix
    from advisor.check.target import Target
    from advisor.inventory.inventory import load
    from advisor.recommend.objective import Objective
    from advisor.zoo.pairs import find_pair

NAMES = (
    *("serve.sh", "server.py", "pod.yaml", "compose.yaml", "values.json", "main.tf", "job.nomad.hcl", "vllm.service"),
    *("Dockerfile", "serving.properties", "nim.env", "vllm.container", "Makefile", "-"),
)
"""Of the kinds of files; the first byte of an input says which."""
MAX_SECONDS = 2.0


class Fuzzed:
    """What is done with each input, and where failures are kept."""

    def __init__(self, inventory: Path, found: Path) -> None:
        loaded = load(inventory)
        self.checker = Checker(Target(loaded, find_pair(loaded.model, loaded.gpu, None), Objective()))
        self.found = found

    def __call__(self, data: bytes) -> None:
        name, start = NAMES[data[0] % len(NAMES)] if data else "-", time.process_time()
        try:
            text = data[1:].decode()
        except UnicodeDecodeError:
            return
        try:
            checked = self.checker.check_text(name, text)
            if checked.findings and len(data) % 8 == 0:
                fix(checked, self.checker)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            self.keep(f"raised-{Path(last.filename).stem}-{last.lineno}-{type(error).__name__}", name, data[1:])
        if time.process_time() - start > MAX_SECONDS and len(data) <= MAX_BYTES:
            self.keep(f"slow-{sha256(data).hexdigest()[:8]}", name, data[1:])

    def keep(self, failure: str, name: str, data: bytes) -> None:
        """The first input that failed like this, under a name that the same reader takes."""
        folder = self.found / failure
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / ("stdin" if name == "-" else name)).write_bytes(data)


def main() -> None:
    folder, found, *options = sys.argv[1:]
    corpus = Path(found) / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for path in sorted(each for each in Path(folder).rglob("*") if each.is_file()):
        endings = [
            i for i, name in enumerate(NAMES) if path.name.lower().endswith(Path(name.lower()).suffix or name.lower())
        ]
        for kind in endings or [len(NAMES) - 1]:
            (corpus / f"seed-{kind}-{path.name}").write_bytes(bytes([kind]) + path.read_bytes())
    atheris.Setup([sys.argv[0], str(corpus), *options], Fuzzed(Path(folder) / "inventory.toml", Path(found)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
