"""`python -m calibrate` end to end: what it writes, and what it says to bad input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from calibrate.__main__ import main
from calibrate.errors import CalibrationError
from calibrate.runs import read_runs
from tests.calibrate.synthetic import MODEL, write_tables
from twin.profile import load

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command; exit code, stdout, stderr."""

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["calibrate", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        written = capsys.readouterr()
        return int(exit_.value.code or 0), written.out, written.err

    return command


def fit_arguments(tables: Path, output: Path, model: str = MODEL) -> list[str | Path]:
    facts = ["--gpu", "gpu", "--hub-id", "example/Tiny", "--gpu-memory-gib", "64", "--kv-bytes-per-token", "131072"]
    named = ["--max-model-len", "131072", "--source", "made up", "--model", model]
    return ["fit", "--tables", tables, *facts, *named, "-o", output]


def test_fit_writes_the_same_bytes_again_and_no_path_of_this_machine(tmp_path: Path, run: Run) -> None:
    tables = write_tables(tmp_path / "lab" / "tables", noise=0.02)
    output = tmp_path / "profile.toml"
    code, report, _ = run(*fit_arguments(tables, output))
    first = output.read_bytes()
    assert code == 0
    assert "per_adapter_ms" in report
    assert run(*fit_arguments(tables, output))[0] == 0
    assert output.read_bytes() == first
    assert "--tables lab/tables" in load(output).command
    assert str(tmp_path) not in first.decode()
    assert list(tmp_path.glob("tmp*")) == []


def spoil_nothing(_: Path) -> None:
    """Leave the tables as they are."""


def drop_column(tables: Path) -> None:
    path = tables / "adapter_loading.csv"
    pd.read_csv(path).drop(columns="ranks").to_csv(path, index=False)


def write_words(tables: Path) -> None:
    path = tables / "adapter_loading.csv"
    pd.read_csv(path).assign(ranks="eight").to_csv(path, index=False)


def misname_folder(tables: Path) -> None:
    path = tables / "kv_capacity.csv"
    pd.read_csv(path).assign(folder="8 slots").to_csv(path, index=False)


@pytest.mark.parametrize(
    ("spoil", "model", "message"),
    [
        (spoil_nothing, "huge", "decode_latency.csv: no rows of model 'huge'; it has tiny"),
        (
            lambda tables: (tables / "kv_capacity.csv").unlink(),
            MODEL,
            "kv_capacity.csv: cannot read the table: No such",
        ),
        (lambda tables: (tables / "kv_capacity.csv").write_text(""), MODEL, "kv_capacity.csv: not a CSV table"),
        (drop_column, MODEL, "adapter_loading.csv: column missing: ranks"),
        (write_words, MODEL, "adapter_loading.csv: column ranks: numbers wanted"),
        (misname_folder, MODEL, "kv_capacity.csv: column folder: cannot read the settings from '8 slots'"),
        (lambda tables: (tables / "scheduler_steps.csv").unlink(), MODEL, "(--like)"),
    ],
)
def test_bad_tables_are_one_line(
    tmp_path: Path, run: Run, spoil: Callable[[Path], None], model: str, message: str
) -> None:
    tables = write_tables(tmp_path / "tables")
    spoil(tables)
    output = tmp_path / "profile.toml"
    code, out, err = run(*fit_arguments(tables, output, model))
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert not output.exists()


def test_a_reference_that_is_no_profile_is_one_line(tmp_path: Path, run: Run) -> None:
    tables = write_tables(tmp_path / "tables")
    (tmp_path / "like.toml").write_text("name = 1\n")
    code, _, err = run(*fit_arguments(tables, tmp_path / "p.toml"), "--like", tmp_path / "like.toml")
    assert code == 2
    assert err.count("\n") == 1
    assert "like.toml" in err


def test_an_output_that_cannot_be_written_is_one_line(tmp_path: Path, run: Run) -> None:
    tables = write_tables(tmp_path / "tables")
    (tmp_path / "file").write_text("")
    code, _, err = run(*fit_arguments(tables, tmp_path / "file" / "profile.toml"))
    assert code == 2
    assert err.count("\n") == 1


def test_nothing_to_validate_is_no_error(tmp_path: Path, run: Run) -> None:
    code, out, err = run("validate", "--data", tmp_path)
    assert (code, out) == (0, "")
    assert "nothing to validate" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "nowhere.csv"], "nowhere.csv: cannot read the table"),
        (["--runs", "empty.csv"], "column missing: group"),
        (["--runs", "odd.csv"], "odd.csv:2: cannot read the run: rate_counts '3' do not match"),
    ],
)
def test_bad_runs_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.csv").write_text("model\n")
    Path("odd.csv").write_text(
        "model,group,adapter_slots,served_adapters,max_lora_rank,rates,rate_counts,ranks,drawn_mean_input,"
        "drawn_mean_output,oom,duration_s,completed,input_tok_s,output_tok_s,itl_mean_ms,ttft_mean_ms,num_running_mean\n"
        "tiny,g,2,4,8,0.5,3,8,100,100,0,60,100,1,1,1,1,1\n"
    )
    code, _, err = run("validate", *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


HOUR = {
    **{"model": "tiny", "group": "g", "adapter_slots": 2, "served_adapters": 4, "max_lora_rank": 8, "rates": "0.5"},
    **{"rate_counts": "4", "ranks": "8", "drawn_mean_input": 100, "drawn_mean_output": 100, "oom": 0},
    **{"duration_s": 60, "completed": 100, "input_tok_s": 1, "output_tok_s": 1, "itl_mean_ms": 1, "ttft_mean_ms": 1},
    **{"num_running_mean": 1},
}
BAD_REQUESTS = {"inf": "inf,a,9,9", "late": "5,a,9,9\n1,a,9,9", "long": "1,a,1e12,9", "odd": "1,a,9,x"}


@pytest.mark.parametrize(
    "changed",
    [
        *({name: "inf"} for name, value in HOUR.items() if not isinstance(value, str)),
        *({name: "-1"} for name in HOUR if name not in ("model", "group")),
        *({name: ""} for name in ("duration_s", "served_adapters", "oom", "ranks", "rates")),
        *({"duration_s": "0"}, {"duration_s": "1e300"}, {"rates": "1e300"}, {"rates": "nan"}, {"ranks": "inf"}),
        *({"adapter_slots": "0"}, {"max_lora_rank": "17"}, {"drawn_mean_input": "0"}, {"drawn_mean_output": "1e12"}),
        *({"arrivals": "inf"}, {"drawn_correlation": "5"}, {"drawn_std_input": "-4"}, {"idle_samples": "1"}),
        *(
            {"requests": name}
            for name in ("nothing.csv", "/dev/zero", ".", "inf.csv", "late.csv", "long.csv", "odd.csv")
        ),
    ],
)
def test_an_hour_that_cannot_be_is_refused_in_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    row = HOUR | changed
    Path("runs.csv").write_text(",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n")
    for name, requests in BAD_REQUESTS.items():
        Path(f"{name}.csv").write_text(f"sent_s,adapter,input_tokens,output_tokens\n{requests}\n")
    with pytest.raises(CalibrationError, match=r"^runs\.csv:2: ") as refused:
        read_runs(Path("runs.csv"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["validate", "--seeds", "0"], "Invalid value for '--seeds'"),
        (["run", "--gpu-memory-gib", "inf", "--model", ".", "--gpu", "g", "--work", "w", "-o", "p"], "a finite number"),
        (["nothing"], "No such command"),
        (["dummy-model", "/proc/nowhere"], "/proc/nowhere"),
        (["validate", "--runs", "/dev/zero"], "/dev/zero: a device, not a CSV table"),
        (["run", "--model", "deep", "--gpu", "g", "--work", "w", "-o", "p", "--vllm", "true"], "deep/config.json: not"),
        (["run", "--model", "none", "--gpu", "g", "--work", "w", "-o", "p", "--vllm", "true"], "none/config.json: not"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    for name, config in {
        "deep": "[" * 200_000,
        "none": '{"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 0}',
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(config)
    told = subprocess.run(
        [sys.executable, "-m", "calibrate", *arguments], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    lines = [line for line in told.stderr.splitlines() if "minutes to go" not in line]
    assert told.returncode == 2
    assert len(lines) == 1 and message in lines[0]
