"""Measured runs beside a recommendation: the nearest one is judged, and nothing is invented where none is steady."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.zoo.pair import Pair
from advisor.zoo.pairs import named
from model_zoo.errors import ZooError
from model_zoo.evaluation import real_runs
from tests.advisor.small_zoo import NAME, build

COLUMNS = (
    "model,group,adapter_slots,served_adapters,max_lora_rank,completed,duration_s,input_tok_s,output_tok_s,"
    "ttft_mean_ms,itl_mean_ms,rates,rate_counts,drawn_mean_input,drawn_mean_output,ranks,oom,num_running_mean"
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return named(NAME, build(tmp_path_factory.mktemp("zoo")))


def write(path: Path, *runs: tuple[int, int, float, int]) -> Path:
    """Runs of adapters that each offer 20 tokens/s: adapters, slots, TTFT in ms, whether out of memory."""
    rows = [
        f"tiny-1b,mix,{slots},{n},16,{360 * n},3600,{10 * n},{10 * n},{ttft},20,0.1,{n},100,100,16,{oom},1"
        for n, slots, ttft, oom in runs
    ]
    path.write_text("\n".join([COLUMNS, *rows]), encoding="utf-8")
    return path


def test_every_way_is_judged_by_the_nearest_run(pair: Pair, tmp_path: Path) -> None:
    file = write(tmp_path / "runs.csv", (32, 32, 100, 0), (128, 64, 500, 0), (256, 64, 90_000, 0), (256, 256, 100, 1))
    verdicts = {verdict.way: verdict for verdict in real_runs.judge(pair, file)}
    assert list(verdicts) == ["advisor", "max_loras = 32", "max_loras = number of adapters", "best measured"]
    best = verdicts["best measured"]
    assert (best.adapters, best.max_loras, best.throughput_share, best.steady) == (128, 64, 1.0, True)
    assert {verdict.nearest.adapters for verdict in verdicts.values()} <= {32, 128, 256}
    assert real_runs.table(list(verdicts.values())).count("\n") == 5


def test_a_mix_that_was_never_steady_is_left_out(pair: Pair, tmp_path: Path) -> None:
    assert real_runs.judge(pair, write(tmp_path / "runs.csv", (32, 32, 90_000, 0))) == []


def test_no_file_is_one_line(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="cannot read the table"):
        real_runs.judge(pair, tmp_path / "none.csv")
