"""A crowd that waits: it comes, is counted and goes, while the batch stays."""

from __future__ import annotations

import asyncio

import pytest

from calibrate.errors import CalibrationError
from calibrate.live.measurements.crowd import Crowded
from calibrate.live.measurements.plan import CROWD_PHASES, Crowd
from calibrate.live.server.running import attached
from tests.calibrate.live.fake_vllm import BASE, FakeVllm, running
from twin.lengths import Moments

INSIDE, OUTSIDE = ["a", "b"], ["c", "d"]
ITL_S, SECONDS, RATE = 0.03, 0.6, 20.0


def crowd(fake: FakeVllm) -> dict[str, float | str]:
    with running(fake) as url, attached(url) as server:
        crowded = Crowded(server, INSIDE, OUTSIDE, allow_remote=False)
        return asyncio.run(crowded.measure(Crowd(3, SECONDS), RATE, Moments(8, 0, 6, 0)))


def test_steps_are_counted_alone_while_others_come_and_while_they_wait() -> None:
    fake = FakeVllm(itl_s=ITL_S, models=[BASE, *INSIDE, *OUTSIDE], silent={*OUTSIDE}, waiting=12)
    row = crowd(fake)
    # This server steps for every request on its own.
    expected_ms = 1e3 * ITL_S / (3 * len(INSIDE))
    for name in "quiet_ms", "arriving_ms", "waiting_ms":
        assert 0.9 * expected_ms < float(row[name]) < 5 * expected_ms, name  # timers of a busy machine are late
    assert row["arrivals_s"] == pytest.approx(RATE)
    assert (row["waiting"], row["arriving_waiting"]) == (12, 6)
    asked = [str(body["model"]) for body in fake.seen]
    assert {name: asked.count(name) for name in OUTSIDE} == dict.fromkeys(OUTSIDE, RATE * SECONDS / 2)
    assert {name: asked.count(name) for name in INSIDE} == dict.fromkeys(INSIDE, 3)
    assert {body["max_tokens"] for body in fake.seen if body["model"] in INSIDE} == {166, 333, 500}
    assert fake.aborted == len(asked)
    assert CROWD_PHASES == 0.5 + 1 + 1 + 0.25 + 1 + 0.5 + 1


def test_a_server_that_takes_no_step_is_refused() -> None:
    fake = FakeVllm(models=[BASE, *INSIDE, *OUTSIDE], silent={*INSIDE, *OUTSIDE})
    with pytest.raises(CalibrationError, match=r"no step in 0\.6 s"):
        crowd(fake)


def test_a_crowd_that_is_refused_is_an_error() -> None:
    fake = FakeVllm(itl_s=ITL_S, models=[BASE, *INSIDE, *OUTSIDE], fails=dict.fromkeys(OUTSIDE, (400, "no such slot")))
    with pytest.raises(CalibrationError, match="no such slot"):
        crowd(fake)
