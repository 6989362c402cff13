"""Rounds of the same traffic: the machine's moods are told from what the twin does not know."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from calibrate.errors import CalibrationError
from calibrate.fit.regression import describe
from calibrate.replay import outcome
from calibrate.runs import MeasuredRun, Outcome
from calibrate.validation.rounds import Compared, compare, interval
from tests.calibrate.synthetic import PROFILE
from twin.lengths import Moments
from twin.profile import Profile
from twin.workload import Workload, draw

SLOTS, ADAPTERS, SECONDS = 4, 8, 60.0
SEEN, UNSEEN = (0.7, 4.0), (0.4, 8.0)
"""Requests/s of each adapter; the server bears less than 4."""
KNOWN = PROFILE.model_copy(
    update={
        "serving": PROFILE.serving.model_copy(update={"max_num_seqs": 16}),
        "fits": {"step": describe([1.0], [1.0], "made up")},
    }
)


def measured(rates: Sequence[float], profile: Profile) -> list[MeasuredRun]:
    """What a server that behaves like the twin of `profile` would show, always of the same requests."""
    runs = []
    for seed, rate in enumerate(rates):
        workload = Workload.alike(np.full(ADAPTERS, rate), rank=8, **Moments(16, 8, 40, 20)._asdict())
        requests = draw(workload, SECONDS, seed)
        nothing = Outcome(False, workload.offered_tok_s)
        run = MeasuredRun("tiny", "made up", SLOTS, ADAPTERS, 8, SECONDS, workload, nothing, None, requests=requests)
        runs.append(dataclasses.replace(run, measured=outcome(run, profile)))
    return runs


def rounds(tempos: Sequence[float], unknown_ms: float = 0.0) -> list[Compared]:
    """The twin of KNOWN beside a server whose steps take so many times as long, round by round.

    Of every arrival it costs the server `unknown_ms` more than the twin knows.
    """
    served, others = [], []
    for tempo in tempos:
        step = {name: tempo * ms for name, ms in KNOWN.step if name.endswith("_ms")}
        scheduling = KNOWN.scheduling.model_copy(update={"per_arrival_ms": unknown_ms})
        server = KNOWN.model_copy(
            update={"step": KNOWN.step.model_copy(update=step), "scheduling": scheduling},
        )
        served.append(measured(SEEN, server))
        others.append(measured(UNSEEN, server))
    return compare(served, others, KNOWN)


def test_a_machine_that_is_slower_in_some_rounds_is_no_error_of_the_twin() -> None:
    light, heavy = rounds((1.0, 1.3, 0.9))
    for traffic in light, heavy:
        assert len({each.itl_ms for each in traffic.measured}) == 3
        assert traffic.starved_as_measured
        for measure in "throughput_tok_s", "itl_ms":
            error = traffic.error(measure)
            assert error.low <= error.mean <= error.high
            assert abs(error.mean) < 0.01
            assert not error.beyond(0.02)
    assert {each.starved for each in heavy.measured} == {True}
    assert {each.starved for each in light.measured} == {False}


def test_a_cost_that_the_twin_does_not_know_shows_where_the_rounds_agree() -> None:
    _, heavy = rounds((1.0, 1.01, 0.99, 1.0), unknown_ms=3.0)
    error = heavy.error("throughput_tok_s")
    assert error.mean > 0.05
    assert error.beyond(0.03)
    assert error.text.startswith(f"+{100 * error.mean:.1f} % (")


def test_the_interval_is_students() -> None:
    error = interval(np.log([1.0, 1.2, 1.1, 0.9]).tolist())
    half = 5.8409 * np.std(np.log([1.0, 1.2, 1.1, 0.9]), ddof=1) / 2  # 99 %, 3 degrees of freedom
    middle = np.log(1.0 * 1.2 * 1.1 * 0.9) / 4
    ends = np.expm1([middle, middle - half, middle + half])
    assert [error.mean, error.low, error.high] == pytest.approx(ends.tolist(), rel=1e-4)
    assert not error.beyond(0.05)
    assert interval(np.log([1.11, 1.1, 1.12]).tolist()).beyond(0.05)
    assert interval(np.log([0.85, 0.84, 0.86]).tolist()).beyond(0.05)


def test_a_server_that_starves_in_some_rounds_only_may_be_foretold_either_way() -> None:
    served, starved = Outcome(False, 1.0, arrived=10, completed=10), Outcome(False, 1.0, arrived=10, waiting_end=9)
    assert Compared((served, starved), (starved, starved)).starved_as_measured
    assert Compared((starved, starved), (starved, starved)).starved_as_measured
    assert not Compared((starved, starved), (served, starved)).starved_as_measured


def test_one_round_tells_nothing() -> None:
    run = measured((0.2,), KNOWN)
    with pytest.raises(CalibrationError, match="two or more"):
        compare([run], [run], KNOWN)
    with pytest.raises(CalibrationError, match="two or more"):
        compare([run, run], [run, []], KNOWN)
