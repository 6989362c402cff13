"""Validation: runs that the twin itself made are no error; others are counted as they should be."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from calibrate.errors import CalibrationError
from calibrate.replay import of_pair, profiles, replay
from calibrate.runs import MeasuredRun, Outcome, read_runs
from calibrate.validation.baselines import policies, rate_threshold_f1
from calibrate.validation.comparison import scoreboard, validate
from calibrate.validation.scores import scores, starts, worst
from tests.calibrate.synthetic import PROFILE

CASES = [(2, 4, "0.5"), (4, 4, "0.5"), (2, 8, "3.0"), (8, 8, "3.0")]
"""Slots, adapters, rate of each."""


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A folder of profiles with one pair."""
    folder = tmp_path / "pairs" / PROFILE.pair.name
    folder.mkdir(parents=True)
    (folder / "profile.toml").write_text(PROFILE.to_toml(), encoding="utf-8")
    return folder.parent


def write_runs(path: Path, outcomes: list[Outcome] | None = None) -> Path:
    """The cases as a table, with these outcomes; one more that did not start for lack of memory."""
    rows = []
    for i, (slots, adapters, rate) in enumerate(CASES):
        served = Outcome(False, 1.0, 1.0, 1.0, ttft_ms=1.0, running=1.0, arrived=100, completed=100)
        predicted = outcomes[i] if outcomes else served
        rows.append(
            {
                "group": "light" if rate == "0.5" else "busy",
                "adapter_slots": slots,
                "served_adapters": adapters,
                "rates": rate,
                "rate_counts": str(adapters),
                "ranks": "8 16",
                "oom": 0,
                "completed": predicted.completed,
                "arrivals": predicted.arrived,
                "num_waiting_mean": predicted.waiting_end,
                "input_tok_s": 0.5 * predicted.throughput_tok_s,
                "output_tok_s": 0.5 * predicted.throughput_tok_s,
                "itl_mean_ms": predicted.itl_ms,
                "ttft_mean_ms": predicted.ttft_ms,
                "num_running_mean": predicted.running,
            }
        )
    rows.append({"group": "busy", "adapter_slots": 384, "served_adapters": 384, "oom": 1})
    table = pd.DataFrame(rows).assign(
        model="ti.ny", max_lora_rank=16, drawn_mean_input=200.0, drawn_mean_output=150.0, duration_s=60.0
    )
    table.to_csv(path, index=False)
    return path


@pytest.fixture
def agreeing(tmp_path: Path, pairs: Path) -> tuple[list[MeasuredRun], list[Outcome]]:
    """Runs measured to be what the twin says, and what it says."""
    asked = read_runs(write_runs(tmp_path / "asked.csv"))
    predicted = replay(asked, profiles(pairs, "gpu", ["ti.ny"]), seed=0, jobs=1)
    return read_runs(write_runs(tmp_path / "runs.csv", predicted[:-1])), predicted


def test_the_twin_agrees_with_itself(agreeing: tuple[list[MeasuredRun], list[Outcome]], pairs: Path) -> None:
    runs, _ = agreeing
    found = validate(runs, runs, profiles(pairs, "gpu", ["ti.ny"]), seeds=1, jobs=1, worst_runs=1)
    assert [score.group for score in found.scores] == ["all", "busy", "light"]
    assert [score.runs for score in found.scores] == [4, 2, 2]
    for score in found.scores:
        assert all(errors.smape < 1e-6 and errors.p95 < 1e-6 for errors in score.twin.values())
        assert score.starved_f1 == 1
        assert score.published == {}
    assert (found.starts.failed, found.starts.predicted, found.starts.false_alarms) == (1, 1, 0)
    assert found.starts_linear is None
    assert found.speed > 10
    assert json.loads(found.to_json())["runs"] == 5
    assert scoreboard(found).renderables


def test_a_run_twice_as_fast_as_the_twin_says_counts_as_such(agreeing: tuple[list[MeasuredRun], list[Outcome]]) -> None:
    runs, predicted = agreeing
    slow = [dataclasses.replace(o, throughput_tok_s=o.throughput_tok_s / 2) for o in predicted]
    every = scores(runs, [slow])[0]
    assert every.twin["throughput_tok_s"].mape == pytest.approx(50)
    assert every.twin["throughput_tok_s"].smape == pytest.approx(100 / 3)
    assert every.twin["itl_ms"].mape == pytest.approx(0, abs=1e-6)
    averaged = scores(runs, [predicted, slow])[0]
    assert averaged.twin["throughput_tok_s"].mape == pytest.approx(25)
    assert len(worst(runs, slow, 3)) == 3


def test_a_start_wrongly_called_impossible_is_a_false_alarm(agreeing: tuple[list[MeasuredRun], list[Outcome]]) -> None:
    runs, predicted = agreeing
    alarmed = [Outcome(oom=True, offered_tok_s=1.0), *predicted[1:]]
    assert starts(runs, alarmed).false_alarms == 1
    assert scores(runs, [alarmed])[0].runs == 3


def test_more_seeds_are_more_simulations_of_the_same_runs(
    agreeing: tuple[list[MeasuredRun], list[Outcome]], pairs: Path
) -> None:
    runs, predicted = agreeing
    again = replay(runs, profiles(pairs, "gpu", ["ti.ny"]), seed=1, jobs=1)
    assert [o.throughput_tok_s for o in again] != [o.throughput_tok_s for o in predicted]


def test_the_rules_of_thumb(agreeing: tuple[list[MeasuredRun], list[Outcome]]) -> None:
    runs, predicted = agreeing
    by_name = {policy.name: policy for policy in policies(runs, predicted)}
    assert by_name["a slot per adapter"].choices == 2
    assert by_name["the twin's choice"].throughput_min > 0.95
    assert by_name["the twin's choice"].steady == by_name["the twin's choice"].steady_possible
    assert rate_threshold_f1(runs, runs)["ti.ny"] > 0.5
    assert policies(runs[:1], predicted[:1]) == []  # nothing to choose from


def test_one_pair_is_judged_by_the_runs_of_its_model(
    agreeing: tuple[list[MeasuredRun], list[Outcome]], pairs: Path
) -> None:
    runs, _ = agreeing
    profile = pairs / PROFILE.pair.name / "profile.toml"
    others = [dataclasses.replace(run, model="huge") for run in runs]
    assert set(of_pair(profile, [*runs, *others])) == {"ti.ny"}
    with pytest.raises(CalibrationError, match="none of the runs is of its model; they are of huge"):
        of_pair(profile, others)


def test_arrivals_that_never_completed_cost_the_whole_duration(tmp_path: Path) -> None:
    path = write_runs(tmp_path / "runs.csv")
    table = pd.read_csv(path, dtype={"rate_counts": str})
    table.loc[0, ["arrivals", "completed", "ttft_mean_ms"]] = [100, 90, 50.0]
    table.to_csv(path, index=False)
    measured = read_runs(path)[0].measured
    assert measured.ttft_penalised_ms == pytest.approx((90 * 50 + 10 * 60_000) / 100)
    assert measured.ttft_ms == 50


@pytest.mark.parametrize(
    ("figures", "starved"),
    [
        ({"arrivals": 100, "completed": 89, "num_waiting_2nd_half_mean": 5.0}, True),
        ({"arrivals": 100, "completed": 90, "num_waiting_2nd_half_mean": 5.0}, False),
        ({"arrivals": 100, "completed": 89, "num_waiting_mean": 5.0}, True),
        ({"arrivals": 100, "completed": 89, "num_waiting_2nd_half_mean": 0.0, "num_waiting_mean": 5.0}, False),
        ({"arrivals": 100, "completed": 89, "num_running_mean": 5.0}, True),
        ({"arrivals": 6, "completed": 4, "num_running_mean": 2.0}, False),
    ],
)
def test_who_waits_at_the_end_is_told_by_what_the_table_has(
    tmp_path: Path, figures: dict[str, float], starved: bool
) -> None:
    path = write_runs(tmp_path / "runs.csv")
    table = pd.read_csv(path, dtype={"rate_counts": str}).drop(columns="num_waiting_mean")
    table.loc[0, list(figures)] = list(figures.values())
    table.to_csv(path, index=False)
    assert read_runs(path)[0].measured.starved == starved


def test_a_run_that_served_all_is_not_starved_though_the_papers_say_so(tmp_path: Path) -> None:
    measured = dataclasses.replace(
        read_runs(write_runs(tmp_path / "runs.csv"))[0].measured, offered_tok_s=100.0, throughput_tok_s=80.0
    )
    assert measured.published_starvation and not measured.starved and measured.steady()


def test_ranks_are_dealt_out_in_turn(tmp_path: Path) -> None:
    run = read_runs(write_runs(tmp_path / "runs.csv"))[0]
    assert run.workload.rank.tolist() == [8, 16, 8, 16]
    assert run.measured.offered_tok_s == pytest.approx(4 * 0.5 * 350)
