"""Fitting: tables made from a known profile give that profile back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from calibrate.errors import CalibrationError
from calibrate.fit.batches import COLUMNS, batches
from calibrate.fit.profile import Subject, fit_profile
from calibrate.fit.regression import regress
from calibrate.fit.scheduling import fit_crowd
from calibrate.fit.serving import average_steps
from calibrate.fit.step import fit_step
from calibrate.fit.tables import read
from tests.calibrate.synthetic import MODEL, PROFILE, crowd_rows, distinct, step_ms, write_tables
from twin.profile import Profile, Scheduling

SUBJECT = Subject(
    hub_id="example/Tiny",
    gpu="gpu",
    vllm="0.8.5",
    gpu_memory_gib=64,
    kv_bytes_per_token=131_072,
    max_model_len=131_072,
    gpu_memory_utilization=0.9,
    serving=PROFILE.serving,
    input_tokens=250,
    source="made up",
)


def fitted(folder: Path, like: Profile | None = None) -> Profile:
    return fit_profile(read(folder, MODEL), SUBJECT, "test", like)


def test_exact_tables_give_the_constants_back(tmp_path: Path) -> None:
    found = fitted(write_tables(tmp_path))
    assert found.front_end.ttft_ms == pytest.approx(PROFILE.front_end.ttft_ms, rel=0.01)
    for section in ("memory", "step", "scheduling", "loading"):
        expected = getattr(PROFILE, section).model_dump()
        assert getattr(found, section).model_dump() == pytest.approx(expected, rel=0.01), section
    assert found.pair.name == "tiny--gpu"
    assert all(fit.mape_percent < 0.1 for fit in found.fits.values())
    assert found.fits["step"].range["max_loras"] == (0, 400)


def test_contributions_are_what_the_terms_add_to_the_average_step(tmp_path: Path) -> None:
    fit = fitted(write_tables(tmp_path)).fits["step"]
    assert fit.contributions["base_ms"] == pytest.approx(PROFILE.step.base_ms, rel=0.01)
    terms = {name for name in type(PROFILE.step).model_fields if name.endswith("_ms")}
    assert set(fit.contributions) == terms - {"lora_base_ms"}  # it is in the base


def test_a_term_left_out_is_zero(tmp_path: Path) -> None:
    tables = read(write_tables(tmp_path), MODEL)
    steps = average_steps(tables.serving, SUBJECT.input_tokens)
    kinds = batches(tables, steps, PROFILE.scheduling, PROFILE.loading)
    found = fit_step(kinds, None, "made up", without=["per_slot_expand"])
    assert found.step.per_slot_expand_ms == 0
    assert found.fit.mape_percent > 1


def test_what_lora_costs_as_such_is_part_of_the_base() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({name: rng.uniform(0, 50, size=60) for name in COLUMNS})
    rows["lora"] = rng.integers(2, size=60)
    rows["adapters"] *= rows["lora"]
    rows["max_loras"] *= rows["lora"]
    rows["step"] = 2 + 3 * rows["lora"] + 0.1 * rows["decoding"] + 0.2 * rows["adapters"]
    found = fit_step({"made up": rows}, None, "made up")
    assert found.step.base_ms == pytest.approx(5, rel=0.01)
    assert found.step.per_slot_expand_ms == pytest.approx(0, abs=1e-4)


LIVE = replace(SUBJECT, scheduling_in_step=True)
CROWDED = PROFILE.model_copy(
    update={"scheduling": Scheduling(base_ms=0, per_request_ms=0, per_scanned_ms=0.002, per_arrival_ms=1.5)}
)


def test_what_a_crowd_costs_is_told_from_what_serving_costs(tmp_path: Path) -> None:
    """Of requests that are served, too: a full batch takes in as many as it answers."""
    found = fit_profile(read(write_tables(tmp_path, CROWDED, serving=False), MODEL), LIVE, "test", None)
    assert found.scheduling.model_dump() == pytest.approx(CROWDED.scheduling.model_dump(), rel=1e-3)
    assert found.step.per_request_ms == pytest.approx(CROWDED.step.per_request_ms, rel=0.02)
    assert found.front_end.ttft_ms == pytest.approx(CROWDED.front_end.ttft_ms, rel=0.01)
    assert found.fits["scheduling"].range["scanned"] == (0, 400)


@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_a_crowd_is_told_from_the_noise_of_several_rounds(noise: float) -> None:
    rng = np.random.default_rng(0)
    rows = pd.concat([pd.DataFrame(crowd_rows(CROWDED))] * 8, ignore_index=True)
    for name in ("quiet_ms", "arriving_ms", "waiting_ms"):
        rows[name] *= np.exp(noise * rng.standard_normal(len(rows)))
    found, fit = fit_crowd(rows, "made up")
    # The mean of eight, of a step of 60 ms, per 400 waiting and per 9 arrivals.
    assert found.per_scanned_ms == pytest.approx(0.002, abs=3 * noise * 60 / 400)
    assert found.per_arrival_ms == pytest.approx(1.5, abs=3 * noise * 60 / 9)
    assert fit.mape_percent < 150 * noise


def test_a_crowd_that_costs_nothing_is_none_that_helps(tmp_path: Path) -> None:
    rows = pd.DataFrame(crowd_rows(CROWDED)).assign(arriving_ms=11.0, waiting_ms=11.0, quiet_ms=11.3)
    found, _ = fit_crowd(rows, "made up")
    assert (found.per_scanned_ms, found.per_arrival_ms) == (0, 0)
    with pytest.raises(CalibrationError, match=r"crowd\.csv: no rows"):
        fit_profile(read(write_tables(tmp_path, serving=False), MODEL), LIVE, "test", None)


def test_noisy_tables_still_tell_the_duration_of_a_step(tmp_path: Path) -> None:
    found = fitted(write_tables(tmp_path, noise=0.03))
    for slots in (8, 64, 256):
        for batch in (5, 50, 300, 600):
            case = (batch, 1.1 * batch, min(distinct(batch, 384), slots), slots)
            assert step_ms(found.step, *case) == pytest.approx(step_ms(PROFILE.step, *case), rel=0.05), case
    assert 1 < found.fits["step"].mape_percent < 4


def test_a_model_without_serving_runs_borrows_from_another(tmp_path: Path) -> None:
    step = PROFILE.step
    scale = 0.8
    other = PROFILE.model_copy(
        update={
            "step": step.model_copy(
                update={
                    "base_ms": 9.0,
                    "per_adapter_ms": 0.3,
                    "lora_per_token_ms": scale * step.lora_per_token_ms,
                    "per_split_token_ms": scale * step.per_split_token_ms,
                }
            )
        }
    )
    like = fitted(write_tables(tmp_path / "like"))
    folder = write_tables(tmp_path / "other", other, serving=False)
    found = fitted(folder, like)
    assert found.step.model_dump() == pytest.approx(other.step.model_dump(), rel=0.02)
    assert found.scheduling == like.scheduling
    assert "0.8 times" in found.fits["step"].note
    with pytest.raises(CalibrationError, match="--like"):
        fitted(folder)


def test_memory_is_fitted_to_what_started_and_tells_what_did_not(tmp_path: Path) -> None:
    note = fitted(write_tables(tmp_path)).fits["memory"].note
    assert "10 of 10 starts that ran out of memory are foretold, 0 of 26 others" in note


def test_tokens_the_client_counts_twice_do_not_speed_the_engine_up(tmp_path: Path) -> None:
    """A detokenised answer may be tokenised into more tokens than were made; TPOT is then per counted token."""
    folder = write_tables(tmp_path)
    path = folder / "adapter_overhead.csv"
    table = pd.read_csv(path)
    answer = table["output_tokens"] / 4096
    table["tpot_mean_ms"] *= (answer - 1) / (1.14 * answer - 1)
    table["output_tokens"] *= 1.14
    table.to_csv(path, index=False)
    assert fitted(folder).step.model_dump() == pytest.approx(PROFILE.step.model_dump(), rel=0.02)


def test_coefficients_are_never_negative_and_weights_count() -> None:
    falling = regress({"base": 1.0, "slope": [1.0, 2.0, 3.0]}, [3.0, 2.0, 1.0])
    assert falling.coefficients["slope"] == 0
    torn = regress({"base": 1.0}, [1.0, 2.0], weights=[100.0, 1.0])
    assert torn.coefficients["base"] == pytest.approx(1, rel=0.01)
