"""LoRA's terms out of timed kernels: those that rows were made of, and what too few rows are told."""

from __future__ import annotations

import statistics
import subprocess
import sys
import types
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from advisor.derive import lora
from advisor.derive.llm import model_shape
from advisor.zoo.pair import PROFILE, shipped
from calibrate.errors import CalibrationError
from calibrate.kernels import measure
from calibrate.kernels.cases import LAYER, Case, cases
from calibrate.kernels.constants import constants
from calibrate.kernels.fit import KERNELS, Terms, Timed, fit, layers, read, residuals
from calibrate.kernels.terms import goes_with
from calibrate.kernels.vllm_kernels import Kernels
from tests.calibrate.kernels.timed import TRUE, took, write_rows
from twin.engine.latency import StepWork, step_cost, step_ms
from twin.profile import LORA_TERMS, Scheduling, Step, load

MOST_GIB = 50.0


def test_every_term_of_a_step_is_fitted() -> None:
    assert set(goes_with(Case(4096, (4096,), 16, 1, 1, 1))) == set(LORA_TERMS)


@given(
    rank=st.sampled_from([8, 16, 64, 256]),
    slots=st.integers(1, 384),
    adapters=st.integers(1, 32),
    tokens=st.integers(1, 8192),
)
def test_a_batch_takes_what_the_twin_charges_for_it(rank: int, slots: int, adapters: int, tokens: int) -> None:
    step = Step(graph_tokens=512, base_ms=10 + TRUE["lora_base_ms"], per_request_ms=0, per_eager_token_ms=0, **TRUE)
    usual = load(shipped() / "llama-3.1-8b-instruct--h100-64gb" / PROFILE)
    profile = usual.model_copy(
        update={"step": step, "scheduling": Scheduling(base_ms=0, per_request_ms=0, per_scanned_ms=0)}
    )
    work = StepWork(decoding=0, prefill_tokens=tokens, base_tokens=0, adapters=adapters, scanned=0)
    charged = step_ms(step_cost(profile, slots, rank), work) - 10
    case = Case(4096, (4096,), rank, slots, adapters, tokens)
    assert Terms(TRUE, ()).step_ms(case) == pytest.approx(charged)


def test_rows_without_noise_give_back_the_terms_they_were_made_of(tmp_path: Path) -> None:
    found = fit(layers(read(write_rows(tmp_path / "rows.jsonl", islice(cases(MOST_GIB), 500), noise=0.0))))
    assert found.ms == pytest.approx(TRUE, rel=0.01)


def test_terms_lie_within_their_intervals(tmp_path: Path) -> None:
    within, all_ = 0, 0
    for seed in range(4):
        timed = read(write_rows(tmp_path / f"{seed}.jsonl", islice(cases(MOST_GIB), 500), noise=0.05, seed=seed))
        terms = fit(layers(timed))
        found = constants(timed[0], layers(timed), terms, "h200")
        for name, (middle, low, high) in found.terms_ms.items():
            assert low <= middle <= high and middle == pytest.approx(TRUE[name], rel=0.35), name
            within, all_ = within + (low <= TRUE[name] <= high), all_ + 1
    assert within / all_ > 0.75  # nine of ten, give or take chance
    off = {each.what: each.mean for each in residuals(layers(timed), terms)}
    assert all(0.002 < each < 0.06 for each in off.values())
    assert {"all layers", "with it", "ranks above 32"} <= set(off)


def test_a_specialised_grid_costs_what_as_many_slots_would() -> None:
    special, as_many = (Case(4096, (4096,), 16, slots, 8, 32, slots == 128) for slots in (128, 8))
    assert goes_with(special) == goes_with(as_many)


def test_a_layer_is_timed_when_all_its_calls_are() -> None:
    case = Case(*LAYER[0], 16, 32, 8, 32)
    calls = [
        Timed(case._replace(inputs=inputs, outputs=outputs), {"a": 1.0, "b": 2.0}, "", "", "")
        for inputs, outputs in LAYER
    ]
    assert [each.step_ms for each in layers(calls)] == [pytest.approx(32 * 4 * 3e-3)]
    assert layers(calls[1:]) == []


def test_the_command_tells_constants_as_derived_profiles_have_them(tmp_path: Path) -> None:
    rows, output = write_rows(tmp_path / "rows.jsonl", islice(cases(MOST_GIB), 500)), tmp_path / "lora.toml"
    done = command(rows, "-o", output)
    assert done.returncode == 0, done.stderr
    assert "all layers" in done.stdout
    told: dict[str, Any] = {"Mapping": Mapping}
    exec(done.stdout.partition("lora.py, from these layers:")[2], told)
    kept = tomli.loads(output.read_text())
    assert set(told["CURRENT_MS"]) == set(lora.CURRENT_MS) == set(LORA_TERMS) == set(kept["step"])
    for name, values in told["CURRENT_MS"].items():
        assert 0 <= values[1] <= values[0] <= values[2] and values == pytest.approx(
            kept["step"][name], rel=0.01, abs=1e-4
        )
    assert "vLLM 0.24.0" in kept["source"] and "NVIDIA H200" in kept["source"] and kept["gpu"] == "h200"


def test_the_constants_of_derived_profiles_are_those_of_the_cases_that_are_kept() -> None:
    timed = read(Path("calibrate/kernels/timed/h200-vllm-0.24.jsonl"))
    terms = fit(layers(timed))
    found = constants(timed[0], layers(timed), terms, "h200")
    assert found.gpu == lora.CURRENT_ON
    for name, (middle, low, high) in lora.CURRENT_MS.items():
        assert (middle, low) == pytest.approx(found.terms_ms[name][:2], rel=0.01)
        assert high == pytest.approx(found.terms_ms[name][2], rel=0.01) or name == "lora_base_ms"
    assert found.residual_percent["all layers"] < 8


def test_what_an_adapter_takes_goes_with_what_expand_writes() -> None:
    """Gate and up of 70 billion parameters have twice the outputs of those of 8, and twice the thread blocks."""
    narrow, wide = (4096, (14336, 14336)), (8192, (28672, 28672))
    batches: dict[Case, dict[int, float]] = {}
    for each in read(Path("calibrate/kernels/timed/h200-vllm-0.24.jsonl")):
        case = each.case
        if (case.inputs, case.outputs) in (narrow, wide) and case.adapters >= 8 and case.tokens <= 256:
            batches.setdefault(case._replace(inputs=0, outputs=()), {})[case.inputs] = each.us["expand_us"]
    times = [us[8192] / us[4096] for us in batches.values() if len(us) == 2]
    assert len(times) > 30
    small = model_shape.find("meta-llama/Llama-3.1-8B-Instruct")
    large = replace(small, intermediate=2 * small.intermediate)
    now, before = (lora.scaled(small, large, 1, 1.0, generation) for generation in ("current", "0.8.5"))
    assert now["per_adapter_ms"] == now["per_slot_expand_ms"] and before["per_adapter_ms"] == 1
    of_layer = 48 + 32 + 32  # thread blocks of what is not gate and up: q, k and v; o; down
    of_gate_and_up = (now["per_adapter_ms"] * (of_layer + 224) - of_layer) / 224
    assert statistics.median(times) == pytest.approx(of_gate_and_up, rel=0.1)


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
    assert timed[0].us == {name: written[0][name] for name in KERNELS}


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
    [(40, "10 whole layers: telling LoRA's terms apart takes 20"), (0, "0 whole layers")],
)
def test_too_few_rows_are_told_in_one_line(count: int, message: str, tmp_path: Path) -> None:
    done = command(write_rows(tmp_path / "rows.jsonl", islice(cases(MOST_GIB), count)))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert str(tmp_path) in done.stderr and message in done.stderr
    assert "Traceback" not in done.stderr


def test_rows_that_are_too_much_alike_are_refused(tmp_path: Path) -> None:
    alike = (case for case in cases(MOST_GIB) if case.rank == 16)
    timed = read(write_rows(tmp_path / "rows.jsonl", islice(alike, 300)))
    with pytest.raises(CalibrationError, match="all layers have rank 16"):
        fit(layers(timed))


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
    rows = write_rows(tmp_path / "rows.jsonl", islice(cases(MOST_GIB), 500))
    done = command(rows, "--gpu", "abacus")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "no GPU 'abacus'" in done.stderr


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "calibrate", "fit-kernels", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)
