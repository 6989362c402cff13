"""A Profile held to a server that takes as long as it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import BaseModel

from calibrate.live import drift
from calibrate.live.server import attached
from tests.calibrate.live.fake_vllm import BASE, FakeVllm, serving
from twin.behaviour import behaviour_of
from twin.profile import Profile

ITL_S = 0.01


@contextmanager
def running(fake: FakeVllm) -> Iterator[str]:
    """The fake in a loop of its own; its URL."""
    ready, stop, urls = threading.Event(), threading.Event(), []

    async def serve() -> None:
        async with serving(fake) as url:
            urls.append(url)
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield urls[0]
    finally:
        stop.set()
        thread.join()


def described(profile: Profile, step_ms: float, vllm: str = "0.32.0") -> Profile:
    """A Profile of a server whose every step takes so long, whatever the batch, with a KV cache of 16,000 tokens."""
    step, scheduling, memory = profile.step, profile.scheduling, profile.memory
    return profile.model_copy(
        update={
            "step": step.model_copy(update=_zeros(step) | {"graph_tokens": 0, "base_ms": step_ms}),
            "scheduling": scheduling.model_copy(update=_zeros(scheduling)),
            "memory": memory.model_copy(
                update={"kv_tokens_base": 16_000.0, "kv_tokens_per_slot_rank": 0.0, "kv_tokens_per_slot": 0.0}
            ),
            "behaviour": behaviour_of(vllm),
        }
    )


def _zeros(section: BaseModel) -> dict[str, float]:
    return dict.fromkeys(type(section).model_fields, 0.0)


def found(profile: Profile) -> drift.Drift:
    fake = FakeVllm(itl_s=ITL_S, models=[BASE, "a", "b"])
    with running(fake) as url, attached(url) as server:
        assert server.adapters == ()  # this fake does not tell parents
        return drift.by_traffic(profile, server, ["a", "b"], max_loras=2, max_lora_rank=8, batches=[2])


def test_a_profile_that_still_holds(profile: Profile) -> None:
    seen = found(described(profile, 1e3 * ITL_S * 1.05))  # a timer is late by some tenths of a ms
    assert seen.vllm == "0.32.0"
    assert seen.same_behaviour
    assert seen.checks[0].off == pytest.approx(0.0)
    assert seen.holds, seen


def test_another_clock_and_another_version_show(profile: Profile) -> None:
    seen = found(described(profile, 5.0, vllm="0.8.5"))
    assert not seen.same_behaviour
    assert seen.checks[1].off > 0.8
    assert not seen.holds
    shown = drift.table(profile, seen)
    assert shown.row_count == 3
