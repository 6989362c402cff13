"""A plausible Profile for the tests that need any, and how tests share the machine."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from twin.behaviour import behaviour_of
from twin.profile import FrontEnd, Loading, Memory, Pair, Profile, Scheduling, Serving, Step

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job of a shell's background, and so in all it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)

# For scikit-learn and for all that tests start: what runs side by side needs no threads of its own.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# Tests share the cores: how long an input took says nothing of the test.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: one more than there are cores, since the tests of servers wait most of their time.

    Eight at most, for each worker pays for the fixtures that it needs.
    """
    return min((os.cpu_count() or 1) + 1, 8)


@pytest.fixture(scope="session")
def profile() -> Profile:
    return Profile(
        pair=Pair(name="tiny--gpu", model="example/tiny", gpu="gpu", vllm="0.8.5"),
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
            graph_tokens=512,
            lora_per_token_ms=0.01,
            per_adapter_ms=0.5,
            per_adapter_shrink_ms=0.05,
            per_adapter_expand_ms=0.001,
            per_slot_shrink_ms=0.01,
            per_slot_expand_ms=0.01,
            per_split_token_ms=0.005,
            per_eager_token_ms=0.02,
        ),
        scheduling=Scheduling(base_ms=0.02, per_request_ms=0.004, per_scanned_ms=0.0003),
        loading=Loading(memory_base_ms=6.5, memory_per_rank_ms=0.02, disk_base_ms=60, disk_per_rank_ms=2),
        front_end=FrontEnd(ttft_ms=10, merged_per_adapter=0.006, merge_requests=128),
        serving=Serving(
            max_num_seqs=2048,
            max_num_batched_tokens=2048,
        ),
        behaviour=behaviour_of("0.8.5"),
        fits={},
        command="made up for tests",
    )
