"""`python -m advisor.bench`, as a maintainer runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.advisor import inventories


def bench(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "advisor.bench", *words], capture_output=True, text=True, check=False, timeout=120
    )


def test_what_models_and_a_recommendation_take_is_printed(zoo: Path, tmp_path: Path) -> None:
    done = bench(inventories.write(tmp_path), "--zoo", zoo, "--many", "50", "--processes", "1")
    assert (done.returncode, done.stderr) == (0, "")
    inside, processes = done.stdout.split("\n\n")
    head, _, models, whole = inside.splitlines()
    assert head.split() == ["what", "fastest_us", "median_us", "p99_us"]
    assert models.startswith("all 15 outputs")
    assert whole.startswith("recommend, 61 adapters")
    head, _, imports, few, many = processes.splitlines()
    assert head.split() == ["process", "wall_ms", "cpu_ms", "peak_mib", "percent_of_imports"]
    assert imports.startswith("bare imports")
    assert imports.endswith(" 100.0")
    assert few.startswith("advisor recommend, 61 adapters")
    assert many.startswith("advisor recommend, 50 adapters")


def test_an_inventory_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    done = bench(tmp_path / "missing.toml")
    assert done.returncode == 2
    assert done.stderr.startswith("bench: ")
    assert done.stderr.count("\n") == 1
