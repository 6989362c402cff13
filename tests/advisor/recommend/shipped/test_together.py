"""Adapters that are asked at the same moment wait for each other's prompts, and the answer says how long."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.simulation import verified
from advisor.zoo.pair import Pair
from tests.advisor.recommend.shipped.questions import inventory, workload
from twin.service_level import Limit


@pytest.mark.parametrize(("members", "slots"), [(4, 2), (6, 2), (4, 1)])
@pytest.mark.parametrize("base", [False, True])
def test_those_that_have_no_slot_among_them_wait_for_answers(llama: Pair, members: int, slots: int, base: bool) -> None:
    """The answer for four classifiers on two slots said 70 ms, "more than 99% sure"; it was a second and more."""
    mix = workload(np.full(members, 0.02))
    alone = inventory(replace(mix, base=workload(np.array([0.1])) if base else None), fixed={"max_loras": slots})
    asked = replace(alone, together=dict.fromkeys(alone.names, "panel"))
    patient = Objective(ttft_limit=Limit(30.0))
    answer = recommend(asked, llama, patient)
    assert answer.expected is not None and not answer.admission.rejected
    measured = verified(answer, asked, llama.profile, patient).verified
    assert answer.expected.ttft_ms == pytest.approx(measured["ttft_ms"], rel=0.4)
    assert answer.expected.percentiles["ttft_p95_ms"] == pytest.approx(measured["ttft_p95_ms"], rel=0.6)


@pytest.mark.parametrize("rate", [0.3, 1.0])
@pytest.mark.parametrize("members", [2, 4, 9])
def test_the_mean_ttft_is_about_that_of_the_twin(llama: Pair, members: int, rate: float) -> None:
    alone = inventory(workload(np.full(members, rate), lengths=(1200.0, 600.0, 80.0, 60.0)))
    asked = replace(alone, together=dict.fromkeys(alone.names, "panel"))
    answer = recommend(asked, llama, Objective())
    assert answer.expected is not None
    independent = recommend(alone, llama, Objective()).expected
    assert independent is not None
    measured = verified(answer, asked, llama.profile, Objective()).verified
    assert answer.expected.ttft_ms == pytest.approx(measured["ttft_ms"], rel=0.35)
    assert answer.expected.ttft_ms > independent.ttft_ms
