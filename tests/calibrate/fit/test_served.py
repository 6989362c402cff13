"""Measured hours of serving refine the step model of a first fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from calibrate.errors import CalibrationError
from calibrate.fit.profile import fit_profile
from calibrate.fit.served import in_tempo, serve, served_steps
from calibrate.fit.tables import read
from calibrate.runs import MeasuredRun, Outcome
from tests.calibrate.fit.test_profile import SUBJECT
from tests.calibrate.synthetic import MODEL, PROFILE, step_ms, write_tables
from twin.engine.simulation import simulate
from twin.lengths import SHAREGPT
from twin.profile import Profile
from twin.workload import Workload

CASES = [(8, 8, 1.6), (16, 16, 0.8), (32, 32, 0.4), (64, 64, 0.1), (96, 96, 0.1), (32, 64, 0.2), (64, 96, 0.05)]
"""Slots, adapters, requests/s of each."""


def measured(profile: Profile, cases: Sequence[tuple[int, int, float]] = CASES) -> list[MeasuredRun]:
    """What a server that behaves like the twin of `profile` would show of twenty minutes."""
    runs = []
    for slots, adapters, rate in cases:
        one = np.ones(adapters)
        workload = Workload.alike(rate * one, rank=8, **SHAREGPT._asdict())
        run = MeasuredRun(
            MODEL, "made up", slots, adapters, 8, 1200.0, workload, Outcome(False, workload.offered_tok_s), None
        )
        twin = simulate(profile, run.server(profile), workload, duration_s=run.duration_s, seed=1)
        output = twin.throughput_tok_s * SHAREGPT.output_mean / (SHAREGPT.input_mean + SHAREGPT.output_mean)
        outcome = dataclasses.replace(
            run.measured,
            throughput_tok_s=twin.throughput_tok_s,
            itl_ms=twin.itl_ms,
            tpot_ms=twin.tpot_ms,
            ttft_ms=twin.ttft_ms,
            running=twin.running_mean,
            waiting=twin.waiting_mean,
            input_tok_s=twin.throughput_tok_s - output,
            output_tok_s=output,
            preemptions=float(twin.preemptions),
            arrived=twin.arrivals,
        )
        runs.append(dataclasses.replace(run, measured=outcome))
    return runs


def test_hours_of_a_server_whose_lora_tokens_cost_more_than_the_tables_say(tmp_path: Path) -> None:
    step = PROFILE.step
    slower = PROFILE.model_copy(
        update={"step": step.model_copy(update={"lora_per_token_ms": step.lora_per_token_ms + 0.05})}
    )
    tables = read(write_tables(tmp_path), MODEL)
    alone = fit_profile(tables, SUBJECT, "test")
    refined = fit_profile(tables, SUBJECT, "test", served=measured(slower))
    case = (300, 340, 30, 32)
    truth = step_ms(slower.step, *case)
    assert step_ms(alone.step, *case) < 0.8 * truth
    assert abs(step_ms(refined.step, *case) - truth) < 0.9 * abs(step_ms(alone.step, *case) - truth)
    assert "served_hours" in refined.fits["step"].note
    assert refined.front_end.merged_per_adapter == pytest.approx(PROFILE.front_end.merged_per_adapter, rel=0.2)


def test_what_a_crowd_costs_is_no_part_of_the_step() -> None:
    """Of an hour in which most requests that wait find no slot."""
    scheduling = PROFILE.scheduling.model_copy(update={"per_scanned_ms": 0.02, "per_arrival_ms": 8.0})
    profile = PROFILE.model_copy(update={"scheduling": scheduling})
    (hour,) = serve(measured(profile, [(8, 64, 0.1)]), profile)
    assert hour.twin.scanned_mean > 100
    row, step = served_steps([hour], profile).iloc[0], profile.step
    expected = (
        step.base_ms
        + step.per_request_ms * row["decoding"]
        + step.lora_per_token_ms * (row["decoding"] + row["prefill_tokens"])
        + step.per_split_token_ms * row["split_tokens"]
        + step.per_adapter_ms * row["adapters"]
        + step.per_adapter_shrink_ms * row["adapter_shrink_work"]
        + step.per_adapter_expand_ms * row["adapter_expand_tiles"]
        + 8 * (step.per_slot_shrink_ms * row["shrink_tiles"] + step.per_slot_expand_ms * row["expand_tiles"])
        + step.per_eager_token_ms * row["eager_tokens"]
    )
    assert row["step"] == pytest.approx(expected, rel=0.03)
    assert hour.step_ms > 1.2 * row["step"]


def test_runs_that_did_not_start_are_refused(tmp_path: Path) -> None:
    run = measured(PROFILE)[0]
    failed = dataclasses.replace(run, measured=Outcome(oom=True, offered_tok_s=1.0))
    with pytest.raises(CalibrationError, match="none of the served runs is usable"):
        fit_profile(read(write_tables(tmp_path), MODEL), SUBJECT, "test", served=[failed])


def test_hours_that_agree_with_the_tables_change_next_to_nothing(tmp_path: Path) -> None:
    refined = fit_profile(read(write_tables(tmp_path), MODEL), SUBJECT, "test", served=measured(PROFILE))
    for case in ((5, 6, 5, 8), (100, 110, 60, 64), (300, 340, 30, 32), (600, 600, 200, 256)):
        assert step_ms(refined.step, *case) == pytest.approx(step_ms(PROFILE.step, *case), rel=0.04), case


def test_a_machine_that_was_faster_when_it_served_sets_the_tempo(tmp_path: Path) -> None:
    """Of every term, so that the shape of the step stays as the full batches had it."""
    true = fit_profile(read(write_tables(tmp_path), MODEL), SUBJECT, "test")
    slower = {name: 1.08 * ms for name, ms in true.step if name.endswith("_ms")}
    slow = true.model_copy(update={"step": true.step.model_copy(update=slower)})
    paced = in_tempo(slow, measured(true))
    assert paced.step.base_ms == pytest.approx(true.step.base_ms, rel=0.01)
    assert paced.step.per_adapter_ms / paced.step.base_ms == pytest.approx(
        true.step.per_adapter_ms / true.step.base_ms, rel=1e-4
    )
    assert "for the served hours as a whole" in paced.fits["step"].note
