"""`advisor simulate` as it is installed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.advisor import inventories
from tests.advisor.cli.command import BASIS, Run
from tests.advisor.inventories import PLAIN
from tests.advisor.small_zoo import NAME


@pytest.mark.parametrize(
    "words",
    [("--no-lora", "--max-loras", "4"), ("--no-lora", "--cold"), ("--duration", "1e9"), ("--duration", "9999h")],
)
def test_simulate_refuses_what_does_nothing_or_never_ends(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run("simulate", inventories.write(tmp_path), *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_the_table_of_a_simulation_fits_eighty_columns(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    table = run("simulate", path, "--duration", "60").stdout.partition("\n\n")[0]
    assert max(len(line) for line in table.splitlines() if line != str(path)) <= 80
    assert all(column in table for column in ("offered_tok_s", "waiting_mean", "steady"))


def test_the_path_of_an_inventory_stays_whole_to_be_copied(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "a-folder-of-a-rather-long-name" / "and-another-one"
    folder.mkdir(parents=True)
    path = inventories.write(folder)
    for name in (path, path.relative_to(tmp_path)):
        lines = run("simulate", name, "--duration", "60").stdout.partition("\n\n")[0].splitlines()
        assert str(name) in lines
        assert max(len(line) for line in lines if line != str(name)) <= 80


def test_simulate_many(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    done = run("simulate", path, path, "--max-loras", "8", "--duration", "60", "--format", "json")
    first, second = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, done.stderr) == (0, "")
    assert first["inventory"] == str(path)
    assert first.items() >= BASIS.items()
    assert {**first, "wall_s": 0} == {**second, "wall_s": 0}
    table, _, basis = run("simulate", path, path, "--duration", "60").stdout.partition("\n\n")
    assert table.splitlines()[0].split()[:4] == ["inventory", "max_loras", "offered_tok_s", "throughput_tok_s"]
    assert basis == f"{NAME}: for vLLM 0.8.5 on test-gpu; measured: made up; pair built 2026-11-28\n"
    done = run("simulate", path, tmp_path / "none.toml", "--format", "json")
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("replayed", [False, True])
def test_simulate_requests_that_the_server_refuses(run: Run, tmp_path: Path, replayed: bool) -> None:
    path, log = inventories.write(tmp_path, PLAIN + "[server]\nmax_model_len = 300\n"), tmp_path / "log.csv"
    log.write_text("time,adapter,input,output\n" + "".join(f"{i},sql-0,{100 * (i % 3 + 1)},100\n" for i in range(60)))
    words = ("simulate", path, "--duration", "60", *(("--requests", log) if replayed else ()))
    measures = json.loads(run(*words, "--format", "json").stdout)
    assert 0 < measures["refused"] < measures["arrivals"]
    assert measures["completed"] <= measures["arrivals"] - measures["refused"]
    if replayed:
        assert measures["refused"] == 20
    assert "refused" in run(*words).stdout
    log.write_text(log.read_text().replace(",300,", ",200,"))
    assert not replayed or "refused" not in run(*words).stdout


def test_simulate_a_log_of_requests(run: Run, tmp_path: Path) -> None:
    path, log = inventories.write(tmp_path), tmp_path / "log.csv"
    log.write_text("time,adapter,input,output\n" + "".join(f"{i / 2},sql-{i % 60},100,20\n" for i in range(240)))
    done = run("simulate", path, "--requests", log, "--format", "json")
    measures = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert measures["arrivals"] == 240
    assert measures["offered_tok_s"] == pytest.approx(240.0)
    # Rates and lengths stand in the log, so the inventory need not say them.
    bare = inventories.write(
        tmp_path,
        'model = "example/Tiny-1B"\ngpu = "test-gpu"\n'
        '[[adapters]]\nname = "sql"\nrank = 16\ncount = 60\n[[adapters]]\nname = "tenant"\nrank = 8\n',
    )
    again = json.loads(run("simulate", bare, "--requests", log, "--format", "json").stdout)
    assert {**again, "wall_s": 0} == {**measures, "wall_s": 0}
    done = run("simulate", path, "--requests", log, "--duration", "1m", "--format", "json")
    assert json.loads(done.stdout)["arrivals"] == 120
    log.write_text(log.read_text() + "5,sql-60,1,1\n")
    done = run("simulate", path, "--requests", log)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"advisor: {log}:242: adapter is 'sql-60', but must be the name of an adapter in the inventory, or empty\n"
    )


def test_what_lets_a_server_start_that_does_not(run: Run, tmp_path: Path) -> None:
    small = PLAIN.replace("example/Tiny-1B", "llama-3.1-8b-instruct").replace("test-gpu", "l4").replace("60", "2")
    words = ("simulate", inventories.write(tmp_path, small), "--max-loras", "3", "--duration", "60", "--format", "json")
    done = run(*words, zoo=None)
    assert done.returncode == 0 and json.loads(done.stdout)["oom"]
    (needed,) = re.findall(r"max_model_len = (\d+) in \[server\]", done.stderr)
    inventories.write(tmp_path, f"{small}\n[server]\nmax_model_len = {needed}\n")
    done = run(*words, zoo=None)
    assert done.returncode == 0 and not json.loads(done.stdout)["oom"] and "does not start" not in done.stderr
