"""Adapters that nobody asks."""

from __future__ import annotations

import numpy as np

from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.zoo.pair import Pair
from tests.advisor.recommend.shipped.questions import inventory, workload


def test_idle_adapters_cost_host_memory_alone(llama: Pair) -> None:
    busy = recommend(inventory(workload(np.full(40, 0.1))), llama, Objective())
    both = recommend(inventory(workload(np.array([0.1] * 40 + [0.0] * 500))), llama, Objective())
    assert both.admission.adapters == 540
    assert both.flags == {**busy.flags, "max_cpu_loras": 540}
    assert both.expected == busy.expected


def test_idle_adapters_take_their_places_in_host_memory_and_slots_of_their_rank(llama: Pair) -> None:
    rates, ranks = np.repeat([0.02, 0.0], [100, 20]), np.repeat([8.0, 64.0], [100, 20])
    idle = {f"a-{i}" for i in range(100, 120)}
    for room, with_room in ((50, 0), (110, 10), (200, 20)):
        host = recommend(inventory(workload(rates, 8), fixed={"max_cpu_loras": room}), llama, Objective())
        assert host.admission.adapters == min(room, 120) <= host.flags["max_cpu_loras"]
        assert len(idle & set(host.admission.admitted)) == with_room, "who is asked comes first"
    slots = recommend(inventory(workload(rates, ranks)), llama, Objective())
    assert slots.admission.adapters == 120
    assert slots.flags["max_lora_rank"] == 64
    assert host.expected is not None
    assert slots.expected is not None
    assert slots.expected.itl_ms > 1.1 * host.expected.itl_ms, "every slot takes the time of the largest rank"
