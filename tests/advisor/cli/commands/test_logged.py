"""`advisor recommend LOG`: a log of requests in place of an inventory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from advisor.cli.commands.inventory.logged import logged
from advisor.errors import InputError
from advisor.inventory.inventory import Inventory

MODEL, GPU = "meta-llama/Llama-3.1-8B-Instruct", "h100-64gb"
LOG = "time,adapter,input,output\n" + "".join(
    f"{i},{('sql', 'legal', '')[i % 3]},{90 + i % 20},50\n" for i in range(300)
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    return path


def read(path: Path, ranks: str | Path | None = None) -> tuple[Inventory, tuple[str, ...]]:
    found = logged(path, model=MODEL, gpu=GPU, ranks=None if ranks is None else str(ranks), busiest_hour=False)
    assert found is not None
    return found


def of(inventory: Inventory) -> dict[str, tuple[float, float]]:
    mix = inventory.workload
    return dict(zip(inventory.names, zip(mix.rank.tolist(), mix.rate.round(2).tolist(), strict=True), strict=True))


def test_ranks_that_nobody_says_are_assumed_and_said(log: Path) -> None:
    inventory, assumed = read(log)
    assert of(inventory) == {"sql": (16, 0.33), "legal": (16, 0.33)}
    assert inventory.mix.base is not None
    assert len(assumed) == 1 and "16 is taken for 2 adapters (legal, sql)" in assumed[0] and "--ranks" in assumed[0]


def test_a_log_says_how_little_its_rates_rest_on(log: Path) -> None:
    assert read(log)[0].counted_requests == 300
    log.write_text("".join(LOG.splitlines(keepends=True)[:6]))
    assert read(log)[0].counted_requests == 5
    command = [sys.executable, "-m", "advisor", "recommend", str(log), "--model", MODEL, "--gpu", GPU]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "counted from 5 requests only" in text.partition("vllm serve")[0]
    assert "% sure" not in text


def test_a_log_whose_busiest_hour_brings_more_than_the_answer_is_for_says_so(log: Path) -> None:
    times = [60 * i for i in range(240)] + [4 * 3600 + 6 * i for i in range(600)]
    log.write_text("time,adapter,input,output\n" + "".join(f"{each},sql,100,50\n" for each in times))
    assert "the whole log, and the busiest hour brought 3.6 times as much" in read(log, "8")[1][0]
    found = logged(log, model=MODEL, gpu=GPU, ranks="8", busiest_hour=True)
    assert found is not None and not found[1]


def test_one_rank_a_file_or_folders_say_ranks(log: Path, tmp_path: Path) -> None:
    assert of(read(log, "8")[0]) == {"sql": (8, 0.33), "legal": (8, 0.33)} and not read(log, "8")[1]
    table = tmp_path / "ranks.csv"
    table.write_text("adapter,rank\nsql,64\nquiet,8\n")
    inventory, assumed = read(log, table)
    assert of(inventory) == {"sql": (64, 0.33), "legal": (16, 0.33), "quiet": (8, 0)}
    assert "1 adapter (legal)" in assumed[0] and "never asked: quiet" in assumed[1]
    for name, rank in (("models--org--sql/snapshots/1", 32), ("legal", 24)):
        folder = tmp_path / "adapters" / name
        folder.mkdir(parents=True)
        config = {"peft_type": "LORA", "r": rank, "lora_alpha": 32, "target_modules": ["q_proj"]}
        (folder / "adapter_config.json").write_text(json.dumps(config))
    inventory, assumed = read(log, tmp_path / "adapters")
    assert of(inventory) == {"sql": (32, 0.33), "legal": (24, 0.33)} and not assumed
    assert inventory.sources == (str(tmp_path / "adapters" / "legal"), "org/sql")


def test_inventories_are_left_to_their_reader(tmp_path: Path) -> None:
    path = tmp_path / "inventory.toml"
    assert logged(path, model=None, gpu=None, ranks=None, busiest_hour=False) is None
    assert logged(Path("-"), model=None, gpu=None, ranks=None, busiest_hour=False) is None
    with pytest.raises(typer.BadParameter, match="belong to logs"):
        logged(path, model=MODEL, gpu=None, ranks=None, busiest_hour=False)


@pytest.mark.parametrize(
    ("text", "ranks", "said"),
    [
        (LOG, "0", "rank 0 is not from 1"),
        (LOG, "1024", "rank 1024 is not from 1"),
        (LOG, "nowhere.csv", "cannot read"),
        ("time,adapter\n1,sql\n2,sql\n", None, "does not tell how long requests are"),
        ("time,adapter,input,output\n1,,9,9\n2,,9,9\n", None, "no request here names an adapter"),
        ("hello", None, "no request here"),
    ],
)
def test_what_is_not_enough_is_an_error_in_one_line(text: str, ranks: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read(path, ranks)


def test_the_command_answers_for_a_log(log: Path) -> None:
    command = [sys.executable, "-m", "advisor", "recommend", str(log)]
    words = ["--model", MODEL, "--gpu", GPU, "--format", "json"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["admission"]["admitted"] == ["legal", "sql"]
    assert any("does not tell ranks" in each for each in told["warnings"])
    bare = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bare.returncode == 2 and "needs --model ID and --gpu NAME" in bare.stderr
    assert len(bare.stderr.splitlines()) == 1
