"""Measurement tables of a server that behaves exactly as a Profile says, give or take noise."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from twin.behaviour import behaviour_of
from twin.profile import FrontEnd, Loading, Memory, Pair, Profile, Scheduling, Serving, Step

MODEL = "tiny"
PROMPT, ANSWER = 250, 231
"""Tokens of every request in scheduler_steps.csv."""

PROFILE = Profile(
    pair=Pair(name="tiny--gpu", model="example/tiny", gpu="gpu", vllm="0.8.5"),
    memory=Memory(
        kv_tokens_base=300_000,
        kv_tokens_per_slot_rank=44,
        kv_tokens_per_slot=50,
        block_size=16,
        gpu_memory_utilization=0.9,
        kv_tokens_per_utilization=524_288,
        max_model_len=131_072,
    ),
    step=Step(
        base_ms=11,
        per_request_ms=0.05,
        graph_tokens=512,
        lora_per_token_ms=0.01,
        per_adapter_ms=0.35,
        per_adapter_shrink_ms=0.05,
        per_adapter_expand_ms=0.001,
        per_slot_shrink_ms=0.01,
        per_slot_expand_ms=0.01,
        per_split_token_ms=0.005,
        per_eager_token_ms=0.02,
    ),
    scheduling=Scheduling(base_ms=0.02, per_request_ms=0.004, per_scanned_ms=2e-4),
    loading=Loading(memory_base_ms=6, memory_per_rank_ms=0.05, disk_base_ms=50, disk_per_rank_ms=2.5),
    front_end=FrontEnd(ttft_ms=7, merged_per_adapter=0.006, merge_requests=128),
    serving=Serving(max_num_seqs=2048, max_num_batched_tokens=2048),
    behaviour=behaviour_of("0.8.5"),
    fits={},
    command="made up for tests",
)


def step_ms(step: Step, decoding: float, prefill: float, adapters: float, slots: int, *, rank: int = 8) -> float:
    """The formula of `twin.profile.Step`, written out once more."""
    tokens = decoding + prefill
    lora, eager, r = (1 if slots else 0), max(tokens - step.graph_tokens, 0), (2 if rank > 16 else 1)
    split, tiles = tokens <= 120, math.ceil(tokens / 32) * (1 if tokens <= 120 else 1 / 8)
    return (
        step.base_ms
        + step.per_request_ms * decoding
        + lora * (step.lora_per_token_ms + step.per_split_token_ms * split * r) * tokens
        + (step.per_adapter_ms + step.per_adapter_shrink_ms * r * (1 if split else 0.25)) * adapters
        + step.per_adapter_expand_ms * adapters * math.ceil(tokens / 64)
        + (step.per_slot_shrink_ms * r * tiles + step.per_slot_expand_ms * math.ceil(tokens / 64)) * slots
        + step.per_eager_token_ms * eager
    )


def distinct(requests: float, adapters: int) -> float:
    return adapters * (1 - (1 - 1 / adapters) ** requests) if adapters else 0.0


def write_tables(folder: Path, profile: Profile = PROFILE, noise: float = 0.0, serving: bool = True) -> Path:
    """All tables, or all but scheduler_steps.csv, in `folder`; every time is off by a factor of spread `noise`.

    crowd.csv only where the profile knows what arrivals cost.
    """
    rng = np.random.default_rng(1)

    def noisy(value: float) -> float:
        return value * float(np.exp(noise * rng.standard_normal()))

    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "decode_latency": _decode(profile, noisy),
        "adapter_overhead": _overhead(profile, noisy),
        "kv_capacity": _capacity(profile, noisy),
        "adapter_loading": _loading(profile, noisy),
    }
    if serving:
        tables["scheduler_steps"] = _serving(profile, noisy)
    if profile.scheduling.per_arrival_ms:
        tables["crowd"] = crowd_rows(profile)
    for name, rows in tables.items():
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return folder


def _decode(profile, noisy):  # type: ignore[no-untyped-def]
    scheduling, rows = profile.scheduling, []
    for batch in (50, 100, 200, 400, 800):
        for answer in (100, 200, 400):
            tpot = step_ms(profile.step, batch, batch * 5 / answer, 0, 0) + scheduling.base_ms
            tpot = noisy(tpot + scheduling.per_request_ms * batch + scheduling.per_arrival_ms * batch / answer)
            rows.append(_run("output", f"_{batch}__1_{answer}", 5, answer) | {"duration_s": 60.0, "tpot_mean_ms": tpot})
        for prompt in (50, 100, 200):
            full = step_ms(profile.step, 0, 2048, 0, 0) + scheduling.base_ms
            seconds = 4 + 4096 * prompt / 2048 * noisy(full) / 1e3
            rows.append(
                _run("input", f"_{batch}__{prompt}_1", prompt, 1) | {"duration_s": seconds, "tpot_mean_ms": 0.0}
            )
    return rows


def _overhead(profile, noisy):  # type: ignore[no-untyped-def]
    scheduling, rows = profile.scheduling, []

    def add(*, set_name: str, folder: str, batch: int, slots: int, pool: int, prompt: int, answer: int) -> None:
        ms = step_ms(profile.step, batch, batch * prompt / answer, distinct(batch, pool), slots)
        ms = noisy(ms + scheduling.base_ms + (scheduling.per_request_ms + scheduling.per_arrival_ms / answer) * batch)
        rows.append(_run(set_name, folder, prompt, answer) | {"tpot_mean_ms": ms, "num_running_max": batch})

    for pool in (1, 32, 64, 96, 128, 192, 256, 300):
        for answer in (100, 200):
            folder = f"_220_300_8__1_{answer}_{pool}"
            add(set_name="small/output", folder=folder, batch=220, slots=300, pool=pool, prompt=5, answer=answer)
    for slots in (300, 400):
        folder = f"_{slots}_8__200_200"
        add(set_name="find_max_batch", folder=folder, batch=256, slots=slots, pool=slots, prompt=400, answer=200)
    add(set_name="small/output", folder="_220__1_100", batch=220, slots=0, pool=0, prompt=5, answer=100)
    return rows


def _capacity(profile, noisy):  # type: ignore[no-untyped-def]
    memory, rows = profile.memory, []
    for slots in (8, 16, 32, 64, 96, 128, 160, 192, 224, 256, 320, 384):
        for rank in (8, 16, 32):
            tokens = memory.kv_capacity_tokens(slots, rank, memory.gpu_memory_utilization)
            row = {"model": MODEL, "folder": f"_{slots}_{rank}_", "oom": int(tokens < memory.max_model_len)}
            if not row["oom"]:
                scheduling = profile.scheduling
                itl = step_ms(profile.step, 1, 0, 1, slots, rank=rank)
                itl = noisy(itl + scheduling.base_ms + scheduling.per_request_ms)
                ttft = itl + profile.front_end.ttft_ms + scheduling.per_arrival_ms
                row |= {"kv_capacity_tokens": float(tokens), "ttft_mean_ms": ttft, "itl_mean_ms": itl}
            rows.append(row)
    return rows


def crowd_rows(profile: Profile) -> list[dict[str, object]]:
    """A batch of 200 for 32 adapters, while 150 requests/s arrive, and while 400 wait."""
    scheduling = profile.scheduling
    quiet = step_ms(profile.step, 200, 0, 32, 32) + scheduling.base_ms + scheduling.per_request_ms * 200
    # A step that takes in what arrives while it runs.
    arriving = (quiet + scheduling.per_scanned_ms * 200) / (1 - scheduling.per_arrival_ms * 0.15)
    waiting = quiet + scheduling.per_scanned_ms * 400
    figures = {"quiet_ms": quiet, "arriving_ms": arriving, "waiting_ms": waiting}
    return [{"model": MODEL, "arrivals_s": 150, "arriving_waiting": 200, "waiting": 400, **figures}]


def _loading(profile, noisy):  # type: ignore[no-untyped-def]
    loading = profile.loading
    return [
        {
            "model": MODEL,
            "ranks": rank,
            "disk_load_ms_mean": noisy(loading.disk_base_ms + loading.disk_per_rank_ms * rank),
            "memory_load_ms_mean": noisy(loading.memory_base_ms + loading.memory_per_rank_ms * rank),
        }
        for rank in (8, 8, 16, 16, 32, 32)
    ]


def _serving(profile, noisy):  # type: ignore[no-untyped-def]
    scheduling, loading, rows, steps = profile.scheduling, profile.loading, [], 8000
    disk_ms = loading.disk_base_ms + loading.disk_per_rank_ms * 8
    for slots in (8, 16, 32, 64, 128, 256, 384):
        for served in sorted({slots, 128, 384} - set(range(slots))):
            for batch in (4, 10, 20, 40, 80, 160, 320):
                waiting = 10.0 * batch if served > slots and batch >= 20 else 0.0
                completed = batch * (steps / ANSWER - 0.5)
                prefill = (completed + batch) * PROMPT / steps
                adapters = min(distinct(batch, served), slots)
                pass_ms = scheduling.base_ms + scheduling.per_request_ms * batch + scheduling.per_scanned_ms * waiting
                prompt = max(PROMPT, prefill)  # it comes whole, in a share of the steps
                without, within = (step_ms(profile.step, batch, tokens, adapters, slots) for tokens in (0, prompt))
                wall = without + prefill / prompt * (within - without) + pass_ms + 0.4 + served * disk_ms / steps
                wall = noisy(wall)
                rows.append(
                    {
                        "gpu_loras": slots,
                        "cpu_loras": served,
                        "rank": 8,
                        "duration": wall * steps / 1e3,
                        "steps": steps,
                        "completed_requests": completed,
                        "processed_tokens": completed * ANSWER,
                        "avg_batch_size": batch,
                        "avg_waiting_queue": waiting,
                        "mean_itl_ms": wall,
                        "total_scheduling_time": pass_ms * steps / 1e3,
                        "max_lora_loading_time": 0.4 * steps / 1e3,
                        "max_lora_loads_from_disk": served,
                    }
                )
    return rows


def _run(set_name: str, folder: str, prompt: int, answer: int) -> dict[str, object]:
    totals = {"completed": 4096, "input_tokens": 4096 * prompt, "output_tokens": 4096 * answer}
    return {"model": MODEL, "set": set_name, "folder": folder} | totals
