"""Traffic that switches over time, or comes at gaps that no model was trained on: answers hold in the twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.zoo.pair import Pair
from tests.advisor.recommend.shipped.questions import inventory, served, workload
from twin.arrivals import Phase
from twin.workload import Workload


@pytest.mark.parametrize(
    "phases",
    [
        (Phase(900, 0.7), Phase(900, 1.3)),
        (Phase(1500, 0.5), Phase(300, 2.5)),
        (Phase(300), Phase(300, 1.5, cv=2.0, lognormal=True)),
        (Phase(20, 0.8), Phase(20, 1.2)),
        (Phase(1800), Phase(1800, 0.97, cv=4.0)),
    ],
)
@pytest.mark.parametrize(("adapters", "rate"), [(400, 0.03), (60, 1.0)])
def test_the_busiest_phase_holds_as_well(phases: tuple[Phase, ...], adapters: int, rate: float, llama: Pair) -> None:
    mix = replace(workload(np.full(adapters, rate)), phases=phases)
    answer = recommend(inventory(mix), llama, Objective())
    assert served(answer, inventory(mix), llama).ttft_ms < 2_000
    # Nor is it timid: a server for the busiest minute alone would take as many.
    busiest = recommend(inventory(mix.busiest()), llama, Objective())
    assert answer.admission.adapters == busiest.admission.adapters
    assert any("switch over time" in each for each in answer.warnings)


@pytest.mark.parametrize("cv", [2.0, 3.0, 5.0])
@pytest.mark.parametrize("rates", [np.full(400, 0.03), np.geomspace(0.003, 0.3, 300)])
def test_log_normal_gaps_hold(rates: np.ndarray, cv: float, llama: Pair) -> None:
    plain = workload(rates)
    mix = gaps(plain, cv)
    answer = recommend(inventory(mix), llama, Objective())
    found = served(answer, inventory(mix), llama)
    assert found.ttft_ms < 2_000
    assert answer.expected is not None
    assert 0.6 < answer.expected.throughput_tok_s / found.throughput_tok_s < 1.5
    poisson = recommend(inventory(plain), llama, Objective())
    assert answer.admission.adapters >= 0.7 * poisson.admission.adapters


@pytest.mark.parametrize("whose", ["adapters", "base", "both"])
def test_whose_gaps_are_log_normal_is_told(whose: str, llama: Pair) -> None:
    plain, base = workload(np.full(20, 0.03)), workload(np.array([1.0]))
    mix = replace(plain if whose == "base" else gaps(plain, 2.0), base=base if whose == "adapters" else gaps(base, 2.0))
    (told,) = (each for each in recommend(inventory(mix), llama, Objective()).warnings if "log-normal" in each)
    assert ("20 adapters" in told) == (whose != "base") == ("in flight" in told)
    assert ("name no adapter" in told) == (whose != "adapters") == ("of the same spread" in told)


def gaps(mix: Workload, cv: float) -> Workload:
    return replace(mix, cv=np.full(len(mix), cv), lognormal_gaps=np.ones(len(mix), dtype=np.bool_))
