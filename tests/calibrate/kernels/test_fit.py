"""LoRA's terms out of timed kernels: those that rows were made of, and what too few rows are told."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from itertools import islice
from pathlib import Path

import pytest
import tomli

from advisor.derive import derive, model_shape
from calibrate.errors import CalibrationError
from calibrate.kernels import measure
from calibrate.kernels.cases import Case, cases
from calibrate.kernels.constants import MODEL, constants
from calibrate.kernels.fit import Terms, fit, read, residuals
from calibrate.kernels.terms import FIXED, OF_KERNEL, of_a_layer
from calibrate.kernels.vllm_kernels import Kernels
from tests.calibrate.kernels.timed import TRUE, took, write_rows
from twin.profile import LORA_TERMS, Step

MOST_GIB = 50.0


def test_every_term_of_a_step_is_fitted_in_the_units_of_derived_profiles() -> None:
    assert {name for names in OF_KERNEL.values() for name in names} == set(LORA_TERMS)
    layer, products = of_a_layer(), model_shape.find(MODEL).linears
    assert layer["shrink_us"]["per_slot_shrink_ms"] == len(products)
    assert layer["shrink_us"]["per_adapter_shrink_ms"] == sum(each.inputs for each in products)
    assert layer["expand_us"]["per_slot_expand_ms"] == sum(-(-each.outputs // 128) for each in products)
    whole = sum(layer[kernel]["lora_per_token_ms"] for kernel in OF_KERNEL)
    assert whole == sum(each.inputs + each.outputs for each in products)


def test_rows_without_noise_give_back_the_terms_they_were_made_of(tmp_path: Path) -> None:
    found = fit(read(write_rows(tmp_path / "rows.jsonl", islice(cases(MOST_GIB), 300), noise=0.0)))
    for kernel, terms in TRUE.items():
        assert found.us[kernel] == pytest.approx(terms, rel=0.01)


def test_terms_lie_within_their_intervals(tmp_path: Path) -> None:
    within, all_ = 0, 0
    for seed in range(4):
        timed = read(write_rows(tmp_path / f"{seed}.jsonl", islice(cases(MOST_GIB), 300), noise=0.05, seed=seed))
        terms = fit(timed)
        found = constants(timed, terms, "h200")
        for name, (middle, low, high) in found.terms_ms.items():
            true = 32e-3 * sum(TRUE[kernel].get(name, 0.0) * of_a_layer()[kernel].get(name, 0.0) for kernel in TRUE)
            assert low <= middle <= high and middle == pytest.approx(true, rel=0.35), name
            within, all_ = within + (low <= true <= high), all_ + 1
    assert within / all_ > 0.75  # nine of ten, give or take chance
    off = {each.what: each.mean for each in residuals(timed, terms)}
    assert all(0.005 < each < 0.06 for each in off.values())
    assert {"all calls", "with it", "layers of Llama-3.1-8B"} <= set(off)


def test_a_specialised_grid_costs_what_as_many_slots_would() -> None:
    terms = Terms(TRUE, ())
    special, as_many = (Case(4096, (4096,), 16, slots, 8, 32, slots == 128) for slots in (128, 7))
    assert terms.call_us(special) == terms.call_us(as_many) == sum(took(special).values())


def test_the_command_tells_constants_as_derived_profiles_have_them(tmp_path: Path) -> None:
    rows, output = write_rows(tmp_path / "rows.jsonl", islice(cases(MOST_GIB), 300)), tmp_path / "lora.toml"
    done = command(rows, "-o", output)
    assert done.returncode == 0, done.stderr
    assert "layers of Llama-3.1-8B" in done.stdout
    told: dict[str, tuple[float, float, float]] = {}
    exec(done.stdout.partition("derive.py, from these cases:")[2], told)
    kept = tomli.loads(output.read_text())
    for name in ("FIXED_US", "OF_CURRENT"):
        assert len(told[name]) == len(getattr(derive, name)) == 3
        middle, low, high = told[name]
        assert 0 < low <= middle <= high and list(told[name]) == pytest.approx(kept[name], rel=0.01)
    assert told["FIXED_US"][0] == pytest.approx(4 * (5.0 + 4.0), rel=0.1)
    assert "vLLM 0.24.0" in kept["source"] and "NVIDIA H200" in kept["source"] and kept["gpu"] == "h200"
    assert set(kept["OF_CURRENT_BY_TERM"]) == set(LORA_TERMS) - {FIXED}
    assert set(kept["step"]) == set(LORA_TERMS)
    middles = {name: middle for name, (middle, _, _) in kept["step"].items()}
    Step(graph_tokens=512, base_ms=10, per_request_ms=0.01, per_eager_token_ms=0.01, **middles)


def test_kernels_of_half_the_cost_have_half_the_factor(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", islice(cases(MOST_GIB), 300), noise=0.0)
    timed = read(path)
    one = constants(timed, fit(timed), "h200")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row.update({kernel: row[kernel] / 2 for kernel in OF_KERNEL})
    path.write_text("\n".join(map(json.dumps, rows)))
    half = read(path)
    other = constants(half, fit(half), "h200")
    assert other.of_current[0] == pytest.approx(one.of_current[0] / 2, rel=0.02)
    assert other.by_term["per_slot_shrink_ms"][0] == pytest.approx(one.by_term["per_slot_shrink_ms"][0] / 2, rel=0.02)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU by torch's word alone, whose kernels take what the terms say."""
    cuda = types.SimpleNamespace(
        is_available=lambda: True,
        get_device_properties=lambda _: types.SimpleNamespace(total_memory=140 * 2**30),
        get_device_name=lambda: "NVIDIA H200",
    )
    torch = types.ModuleType("torch")
    torch.__dict__.update(cuda=cuda, __version__="2.11.0+cu130")
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(measure, "_times", lambda _, case, __: {name: round(us, 3) for name, us in took(case).items()})


@pytest.mark.usefixtures("gpu")
def test_what_kernels_writes_is_what_fit_kernels_reads(tmp_path: Path) -> None:
    path = tmp_path / "kernels.jsonl"
    written = list(islice(measure.measure(Kernels(None, None, None, "0.24.0"), path, 60.0), 200))
    timed = read(path)
    assert [each.case for each in timed] == list(islice(cases(56.0), 200))
    assert (timed[0].gpu, timed[0].vllm) == ("NVIDIA H200", "0.24.0")
    assert timed[0].us == {name: written[0][name] for name in OF_KERNEL}
    assert fit(timed).us["shrink_us"]["per_slot_shrink_ms"] == pytest.approx(0.03, rel=0.05)


@pytest.mark.usefixtures("gpu")
def test_no_case_finds_what_kernels_kept_of_the_one_before(tmp_path: Path) -> None:
    kept = ({1: "slots of rank 8"}, {2: "slots"})
    kernels = Kernels(None, None, None, "0.24.0", kept)
    next(measure.measure(kernels, tmp_path / "kernels.jsonl", 60.0))
    assert kept == ({}, {})


@pytest.mark.usefixtures("gpu")
def test_a_case_that_the_gpu_refuses_is_left_out_and_a_lost_gpu_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def times(_: Kernels, case: Case, __: int) -> dict[str, float]:
        if case.rank == 8 or case.slots == 384:
            raise RuntimeError("CUDA out of memory.")
        return took(case)

    kernels, path = Kernels(None, None, None, "0.24.0"), tmp_path / "kernels.jsonl"
    monkeypatch.setattr(measure, "_times", times)
    monkeypatch.setattr(measure, "REFUSED", 1000)
    assert {row["rank"] for row in islice(measure.measure(kernels, path, 60.0), 200)} >= {16, 32}
    monkeypatch.setattr(measure, "REFUSED", 5)
    with pytest.raises(CalibrationError, match=r"5 cases refused in a row, the last .*: CUDA out of memory\."):
        list(measure.measure(kernels, tmp_path / "other.jsonl", 60.0))


@pytest.mark.parametrize(
    ("count", "message"),
    [(10, "10 cases: telling LoRA's terms apart takes 60"), (0, "0 cases")],
)
def test_too_few_rows_are_told_in_one_line(count: int, message: str, tmp_path: Path) -> None:
    done = command(write_rows(tmp_path / "rows.jsonl", islice(cases(MOST_GIB), count)))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert str(tmp_path) in done.stderr and message in done.stderr
    assert "Traceback" not in done.stderr


def test_rows_that_are_too_much_alike_are_refused(tmp_path: Path) -> None:
    alike = (case for case in cases(MOST_GIB) if case.rank == 16)
    timed = read(write_rows(tmp_path / "rows.jsonl", islice(alike, 100)))
    with pytest.raises(CalibrationError, match="all cases have rank 16"):
        fit(timed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff\xfe", "not the rows"),
        (b'{"inputs": 1, "outputs": [1], "rank": 8, "slots": 1, "adapters": 1, "tokens": 1, "specialize": false}',
         "shrink_us and expand_us above 0 wanted"),
    ],
)  # fmt: skip
def test_rows_that_tell_nothing_are_refused(text: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(text)
    with pytest.raises(CalibrationError, match=message):
        read(path)
    with pytest.raises(CalibrationError, match="no such file"):
        read(tmp_path / "none.jsonl")


def test_rows_of_two_cards_are_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", islice(cases(MOST_GIB), 3))
    path.write_text(path.read_text().replace("H200", "H100", 1))
    with pytest.raises(CalibrationError, match=r"NVIDIA H100 under vLLM 0\.24\.0, NVIDIA H200 under vLLM 0\.24\.0"):
        read(path)


def test_a_card_that_the_catalogue_lacks_is_told(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", islice(cases(MOST_GIB), 100))
    done = command(rows, "--gpu", "abacus")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "no GPU 'abacus'" in done.stderr


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "calibrate", "fit-kernels", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)
