"""Both twins decide what real vLLM schedulers decided, in every step of the recorded workloads.

`python -m calibrate record-schedule` made the recordings; each file names the command and the vLLM version.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibrate.recording.recordings import Arrivals, Limits, Recordings, read, steps
from twin.behaviour import VERSIONS, Behaviour, behaviour_of
from twin.engine import stepwise
from twin.engine.decisions import Decisions
from twin.engine.latency import StepCost
from twin.engine.reference import Server
from twin.engine.state import Demand, SchedulerConfig, new_scheduler

FILES = sorted((Path(__file__).parent / "recordings").glob("*.json.xz"))
COST = StepCost(base_ms=1, per_request_ms=0, per_prefill_token_ms=0, per_adapter_ms=0, per_scanned_ms=0)


class FastTwin:
    """The compiled scheduler."""

    def __init__(self, settings: SchedulerConfig, demand: Demand, blocks: int) -> None:
        self.scheduler, self.blocks = new_scheduler(settings, demand, blocks), blocks

    def add(self, request: int) -> None:
        stepwise.add(self.scheduler, request)

    def busy(self) -> bool:
        return stepwise.busy(self.scheduler)

    def step(self) -> Decisions:
        return stepwise.step(self.scheduler, self.blocks)


class ReferenceTwin:
    """The one written for reading."""

    def __init__(self, settings: SchedulerConfig, demand: Demand, blocks: int) -> None:
        self.server = Server(settings, demand, COST, blocks)

    def add(self, request: int) -> None:
        self.server.add(request)

    def busy(self) -> bool:
        return self.server.busy()

    def step(self) -> Decisions:
        return self.server.step().decisions


def settings_of(limits: Limits, behaviour: Behaviour) -> SchedulerConfig:
    return SchedulerConfig(
        max_num_seqs=limits.max_num_seqs,
        max_num_batched_tokens=limits.max_num_batched_tokens,
        max_loras=limits.max_loras,
        max_cpu_loras=1000,
        block_size=limits.block_size,
        **behaviour.model_dump(),
    )


def demand_of(arrivals: Arrivals) -> Demand:
    nothing = np.zeros(max(arrivals.adapter) + 1)
    requests = (np.array(column, dtype=np.int32) for column in (arrivals.adapter, arrivals.prompt, arrivals.answer))
    return Demand(np.array(arrivals.step, dtype=np.float64), *requests, nothing, nothing)


def differing(recordings: Recordings, behaviour: Behaviour, twin: type[FastTwin | ReferenceTwin]) -> list[str]:
    """Names of the workloads of which a twin decides any step differently, with the first such step."""
    found = []
    for one in recordings.recordings:
        host = twin(settings_of(one.limits, behaviour), demand_of(one.arrivals), one.limits.blocks)
        decided = list(steps(host, one.arrivals))
        if decided != list(one.steps):
            pairs = enumerate(zip(decided, one.steps, strict=False))
            at = next((i for i, (ours, real) in pairs if ours != real), min(len(decided), len(one.steps)))
            found.append(f"{one.name}: step {at}: {decided[at : at + 1]} instead of {one.steps[at : at + 1]}")
    return found


def behaviour_in(recordings: Recordings) -> Behaviour:
    return behaviour_of(recordings.vllm).model_copy(update={"async_scheduling": recordings.async_scheduling})


@pytest.fixture(params=FILES, ids=lambda path: path.name.removesuffix(".json.xz"))
def recordings(request: pytest.FixtureRequest) -> Recordings:
    return read(request.param)


@pytest.mark.parametrize("twin", [FastTwin, ReferenceTwin])
def test_the_twin_decides_as_vllm_did(recordings: Recordings, twin: type[FastTwin | ReferenceTwin]) -> None:
    assert differing(recordings, behaviour_in(recordings), twin) == []


def test_the_recordings_strain_the_scheduler(recordings: Recordings) -> None:
    taken = [step for one in recordings.recordings for step in one.steps]
    assert len(recordings.recordings) >= 24
    assert sum(len(step.preempted) for step in taken) > 100
    for one in recordings.recordings:
        assert sum(len(step.finished) for step in one.steps) == len(one.arrivals.step)
    assert any(step.adapters == one.limits.max_loras > 1 for one in recordings.recordings for step in one.steps)
    assert any(
        tokens == one.limits.max_num_batched_tokens
        for one in recordings.recordings
        for step in one.steps
        for tokens in step.scheduled.values()
    ), "a prompt of several chunks"


@pytest.mark.parametrize("option", list(Behaviour.model_fields))
def test_each_option_of_the_behaviour_is_seen_in_the_recordings(option: str) -> None:
    for path in FILES:
        recordings = read(path)
        behaviour = behaviour_in(recordings)
        if getattr(behaviour, option) and differing(
            recordings, behaviour.model_copy(update={option: False}), ReferenceTwin
        ):
            return
    pytest.fail(f"no recording tells whether {option} is on")


def test_every_known_version_is_recorded() -> None:
    assert {read(path).vllm for path in FILES} == set(VERSIONS)
