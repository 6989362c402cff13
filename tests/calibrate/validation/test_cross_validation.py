"""Cross-validation: a server that is as the twin says is foretold, and a term that it has is missed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from calibrate.runs import MeasuredRun
from calibrate.validation import cross_validation
from calibrate.validation.cross_validation import Fold, cross_validate, fold_report
from tests.calibrate.fit.test_profile import fitted
from tests.calibrate.fit.test_served import measured
from tests.calibrate.synthetic import MODEL, PROFILE, write_tables


def write_hours(path: Path, runs: list[MeasuredRun], group: str) -> None:
    """The runs as a table like those of measured hours."""
    rows = [
        {
            "model": MODEL,
            "group": f"{group} {run.max_loras}",
            "adapter_slots": run.max_loras,
            "served_adapters": run.adapters,
            "max_lora_rank": run.max_lora_rank,
            "rates": str(run.workload.rate[0]),
            "rate_counts": str(run.adapters),
            "ranks": "8",
            "drawn_mean_input": 223,
            "drawn_mean_output": 196,
            "oom": 0,
            "duration_s": run.duration_s,
            "completed": run.workload.rate.sum() * run.duration_s,
            "input_tok_s": run.measured.input_tok_s,
            "output_tok_s": run.measured.output_tok_s,
            "itl_mean_ms": run.measured.itl_ms,
            "tpot_mean_ms": run.measured.tpot_ms,
            "ttft_mean_ms": 100.0,
            "num_running_mean": run.measured.running,
        }
        for run in runs
    ]
    path.parent.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False)


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> list[Fold]:
    data = tmp_path_factory.mktemp("data")
    profile = fitted(write_tables(data / "calibration"))
    runs = measured(PROFILE)
    for table, some in zip(cross_validation.TABLES, (runs[::2], runs[1::2]), strict=True):
        write_hours(data / "validation" / f"{table}.csv", some, table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_validation, "STEP_TERMS", ("per_adapter",))
        patch.setattr(cross_validation, "OTHER_TERMS", {"merged_per_adapter": ("front_end", "merged_per_adapter")})
        return cross_validate(data, {MODEL: profile}, seeds=1, jobs=1)


def test_every_table_is_judged_by_a_fit_to_the_other_and_every_mix_by_the_rest(folds: list[Fold]) -> None:
    whole = [(fold.fitted_on, fold.judged_on, fold.score.runs) for fold in folds if not fold.without]
    first, second = cross_validation.TABLES
    assert whole == [(first, second, 3), (second, first, 4), ("all mixes but one", "that one, in turn", 7)]
    assert all(fold.score.twin["itl_ms"].smape < 2 for fold in folds if not fold.without)
    assert fold_report(folds).renderables


def test_without_a_term_that_the_server_has_the_error_grows(folds: list[Fold]) -> None:
    table = cross_validation.TABLES[1]
    itl = {fold.without: fold.score.twin["itl_ms"].smape for fold in folds if fold.judged_on == table}
    assert itl["per_adapter"] > itl[""] + 0.5
    assert itl["merged_per_adapter"] > itl[""] + 0.5
