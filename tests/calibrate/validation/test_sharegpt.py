"""The correlation of ShareGPT's lengths, from the published measurements; needs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from calibrate.runs import ANSWERED
from twin.lengths import SHAREGPT
from twin.workload import Workload, draw

DATA = Path(__file__).parents[4] / "shared" / "data" / "h100-64gb"
BLOCK = 16


def held_tokens(correlation: float, *, output_mean: float, answered: float) -> float:
    """KV tokens of a running request, whole blocks, mean over the ends of steps."""
    lengths = SHAREGPT._replace(
        output_mean=answered * output_mean, output_std=answered * SHAREGPT.output_std, correlation=correlation
    )
    traffic = Workload.alike(np.full(50, 20.0), rank=8, **lengths._asdict())
    drawn = draw(traffic, 600.0, 1)
    prompt, answer = drawn.input.astype(np.int64), drawn.output.astype(np.int64)
    # At the end of a step a request holds what that step wrote; its last step frees it all.
    return float((_in_blocks(prompt + answer - 2) - _in_blocks(prompt - 1)).sum() / (answer - 1).sum())


def _in_blocks(tokens: np.ndarray) -> np.ndarray:
    """Sum over 1, …, `tokens` of each rounded up to whole blocks."""
    blocks, rest = np.divmod(tokens, BLOCK)
    return BLOCK * (BLOCK * blocks * (blocks + 1) // 2 + rest * (blocks + 1))


def measured() -> pd.DataFrame:
    """By model, of real servers on which nothing waited: `held_tokens`, and the drawn `output_mean`."""
    runs = pd.concat([pd.read_csv(DATA / "validation" / f"{name}.csv") for name in ("serving_runs", "optimum_search")])
    capacity = pd.read_csv(DATA / "calibration" / "kv_capacity.csv").dropna(subset=["kv_capacity_tokens"])
    settings = capacity["folder"].str.extract(r"^_(?P<adapter_slots>\d+)_(?P<max_lora_rank>\d+)_$").astype(int)
    known = capacity[["model", "kv_capacity_tokens"]].join(settings)
    runs = runs.merge(known, on=["model", "adapter_slots", "max_lora_rank"])
    quiet = runs[(runs["ttft_mean_ms"] < 2000) & (runs["num_waiting_mean"] < 1) & (runs["num_running_mean"] > 5)]
    used = quiet["gpu_cache_usage_perc_mean"] * quiet["kv_capacity_tokens"] - BLOCK  # vLLM keeps one for itself
    quiet = quiet.assign(held_tokens=used / quiet["num_running_mean"], output_mean=quiet["drawn_mean_output"])
    return quiet.groupby("model")[["held_tokens", "output_mean"]].mean()


def test_a_running_request_holds_more_the_less_long_prompts_go_with_short_answers() -> None:
    held = [held_tokens(at, output_mean=197.0, answered=0.99) for at in (-0.45, SHAREGPT.correlation, -0.35)]
    assert held == pytest.approx([358, 363, 368], abs=1)


@pytest.mark.skipif(not DATA.is_dir(), reason="the published measurements are not here")
def test_no_other_correlation_is_nearer_to_what_a_running_request_holds() -> None:
    servers = measured()

    def off(correlation: float) -> float:
        told = (
            held_tokens(correlation, output_mean=mean, answered=ANSWERED[str(model)])
            for model, mean in servers["output_mean"].items()
        )
        return float(np.abs(np.fromiter(told, float) - servers["held_tokens"].to_numpy()).sum())

    assert min((-0.3, -0.35, SHAREGPT.correlation, -0.45, -0.5), key=off) == SHAREGPT.correlation
