"""A profile, and a server that costs nothing to simulate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twin.profile import FrontEnd, Loading, Memory, Pair, Profile, Scheduling, Serving, Step
from twin.server import Server
from twin.simulation import Measures
from twin.workload import Workload


@pytest.fixture(scope="session")
def profile() -> Profile:
    return Profile(
        pair=Pair(name="tiny-1b--gpu", model="example/Tiny-1B", gpu="gpu", vllm="0.8.5"),
        memory=Memory(
            kv_tokens_base=300_000,
            kv_tokens_per_slot_rank=48,
            kv_tokens_per_slot=0,
            block_size=16,
            gpu_memory_utilization=0.9,
            kv_tokens_per_utilization=500_000,
            max_model_len=131_072,
        ),
        step=Step(
            base_ms=12,
            per_request_ms=0.04,
            per_prefill_token_ms=0.03,
            lora_base_ms=2,
            lora_per_token_ms=0.005,
            per_adapter_ms=0.4,
            per_slot_ms=0.02,
            per_request_slot_ms=0.0001,
            per_prefill_token_slot_ms=0.0003,
        ),
        scheduling=Scheduling(base_ms=0.02, per_request_ms=0.004, per_scanned_ms=0.0002),
        loading=Loading(memory_base_ms=6.5, memory_per_rank_ms=0.02, disk_base_ms=60, disk_per_rank_ms=2),
        front_end=FrontEnd(ttft_ms=8, itl_factor=1.06),
        serving=Serving(
            max_num_seqs=2048,
            max_num_batched_tokens=2048,
            preallocated_blocks=4,
            admission_needs_whole_prompt=False,
        ),
        fits={},
        command="made up for tests",
    )


def law_of_serving(profile: Profile, server: Server, workload: Workload, *, duration_s: float, seed: int) -> Measures:
    """A made-up law instead of a simulation: pressure on tokens and on slots, and a cliff where it passes 1."""
    assert seed >= 0
    offered = workload.offered_tok_s
    active = float(-np.expm1(-workload.rate * workload.output_mean * 0.05).sum())
    for_slots = active / server.max_loras if server.max_loras < len(workload.rate) else 0.0
    pressure = max(offered / (9000 - 4 * server.max_loras), for_slots)
    arrivals = round(float(workload.rate.sum()) * duration_s)
    share = min(1.0, 1 / pressure)
    return Measures(
        oom=False,
        kv_capacity_tokens=profile.memory.kv_capacity_tokens(server.max_loras, server.max_lora_rank, 0.9),
        offered_tok_s=offered,
        throughput_tok_s=share * offered,
        itl_ms=15 + 0.1 * server.max_loras + 0.1 * active,
        ttft_ms=50 + 2000 * math.exp(min(30 * (pressure - 1), 7)),
        arrivals=arrivals,
        completed=math.ceil(share * arrivals),
    )
