"""Timing vLLM's LoRA kernels, as far as that goes without a GPU: what is timed, in which order, and what is kept."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrate.kernels.cases import LAYER, MIDDLE, Case, cases
from calibrate.kernels.measure import measured
from calibrate.kernels.vllm_kernels import FILES, FOLDER, carry

CARRIED = os.environ.get("ADVISOR_TEST_KERNELS")
"""A folder that vLLM's kernels were carried to; with it, torch and Triton they run in Triton's interpreter."""
HAVE_TRITON = importlib.util.find_spec("triton") is not None and importlib.util.find_spec("torch") is not None


def test_the_most_telling_cases_come_first() -> None:
    first = list(islice(cases(30), 400))
    assert [(case.inputs, case.outputs) for case in first[:4]] == list(LAYER)
    assert all((case.rank, case.slots, case.adapters, case.tokens) == MIDDLE for case in first[:4])
    for axis, values in (("rank", 6), ("slots", 5), ("adapters", 3), ("tokens", 7)):
        assert len({getattr(case, axis) for case in first}) >= values, axis
    assert {case.specialize for case in first} == {False, True}


@given(st.floats(0.1, 60))
def test_every_case_is_possible_fits_and_comes_once(most_gib: float) -> None:
    found = list(cases(most_gib))
    assert len(found) == len(set(found))
    assert all(case.possible and case.weights_gib <= most_gib for case in found)
    assert all(case.slots * case.rank * max(case.outputs) < 2**31 for case in found)


@given(st.sampled_from(list(islice(cases(30), 1000))))
def test_a_graph_of_calls_reads_more_slots_than_a_cache_holds_where_memory_allows(case: Case) -> None:
    copies = case.copies(56.0, 20)
    assert 1 <= copies <= 20 and (copies == 1 or copies * case.weights_gib <= 56.0)
    if case.read_mib >= 128.0 / 20 and 20 * case.weights_gib <= 56.0:
        assert copies * case.read_mib >= 128.0


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    case = Case(4096, (4096,), 16, 32, 8, 32)
    row = {**case._asdict(), "shrink_us": 12.5, "expand_us": 9.0, "gpu": "H100"}
    path = tmp_path / "kernels.jsonl"
    path.write_text(json.dumps(row) + "\n" + '{"inputs": 4096, "outp')
    assert {known: each["shrink_us"] for known, each in measured(path).items()} == {case: 12.5}
    assert not measured(tmp_path / "none")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kernels", "-o", "rows.jsonl", "--kernels", "nowhere"], "triton|carry-kernels"),
        (["carry-kernels", "-o", "folder"], "no vLLM"),
        (["carry-kernels", "-o", "folder", "--wheel", "none.whl"], "none.whl: no wheel of vLLM"),
        (["check-kernels"], "triton|no vLLM"),
    ],
)
@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_what_is_missing_is_told_in_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "calibrate", *words],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert any(word in done.stderr for word in said.split("|"))
    assert not list(tmp_path.iterdir())


def test_kernels_are_taken_out_of_a_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "vllm-0.24.0-cp38-abi3-manylinux_2_28_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        for name in FILES:
            packed.writestr((FOLDER / name).as_posix(), f"# {name}")
    target = carry(tmp_path / "kernels", wheel)
    assert sorted(file.name for file in target.iterdir()) == sorted(FILES)
    assert (tmp_path / "kernels" / "version").read_text() == "0.24.0"


@pytest.mark.skipif(not (CARRIED and HAVE_TRITON), reason="needs torch, Triton and ADVISOR_TEST_KERNELS")
def test_vllms_kernels_do_what_torch_does() -> None:
    command = [sys.executable, "-m", "calibrate", "check-kernels", "--kernels", str(CARRIED)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("as torch has it") == 4
