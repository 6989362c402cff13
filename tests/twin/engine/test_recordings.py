"""Both twins decide what real vLLM schedulers decided, in every step of the recorded workloads.

`python -m calibrate record-schedule` made the recordings; each file names the command and the vLLM version.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from calibrate.recording.comparison import FastTwin, ReferenceTwin, Twin, behaviour_in, differences
from calibrate.recording.recordings import Recordings, read
from twin.behaviour import VERSIONS, Behaviour
from twin.workload import BASE

FILES = sorted((Path(__file__).parent / "recordings").glob("*.json.xz"))


@pytest.fixture(params=FILES, ids=lambda path: path.name.removesuffix(".json.xz"))
def recordings(request: pytest.FixtureRequest) -> Recordings:
    return read(request.param)


@pytest.mark.parametrize("twin", [FastTwin, ReferenceTwin])
def test_the_twin_decides_as_vllm_did(recordings: Recordings, twin: Twin) -> None:
    assert list(differences(recordings, behaviour_in(recordings), twin)) == []


def test_the_recordings_strain_the_scheduler(recordings: Recordings) -> None:
    taken = [step for one in recordings.recordings for step in one.steps]
    assert len(recordings.recordings) >= 24
    assert sum(len(step.preempted) for step in taken) > 50
    for one in recordings.recordings:
        assert sum(len(step.finished) for step in one.steps) == len(one.arrivals.step)
    assert any(step.adapters == one.limits.max_loras > 1 for one in recordings.recordings for step in one.steps)
    assert any(
        tokens == one.limits.max_num_batched_tokens
        for one in recordings.recordings
        for step in one.steps
        for tokens in step.scheduled.values()
    ), "a prompt of several chunks"


def test_in_every_version_requests_without_an_adapter_overtake_those_that_wait_for_a_slot() -> None:
    overtaken = set()
    for path in FILES:
        recordings = read(path)
        for one in recordings.recordings:
            started: dict[int, int] = {}
            for number, step in enumerate(one.steps):
                started |= dict.fromkeys(step.scheduled.keys() - started.keys(), number)
            base = [i for i, adapter in enumerate(one.arrivals.adapter) if adapter == BASE]
            if any(started[i] < started[earlier] for i in base for earlier in range(i)):
                overtaken.add(recordings.vllm)
    assert overtaken == set(VERSIONS)


@pytest.mark.parametrize("option", list(Behaviour.model_fields))
def test_each_option_of_the_behaviour_is_seen_in_the_recordings(option: str) -> None:
    for path in FILES:
        recordings = read(path)
        behaviour = behaviour_in(recordings)
        without = behaviour.model_copy(update={option: False})
        if getattr(behaviour, option) and any(differences(recordings, without, ReferenceTwin)):
            return
    pytest.fail(f"no recording tells whether {option} is on")


def test_every_known_version_is_recorded() -> None:
    assert {read(path).vllm for path in FILES} == set(VERSIONS)
