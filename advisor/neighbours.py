"""Whether the twin finds anything better next to an answer: fewer and more slots, fewer and more adapters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from advisor.inventory.inventory import Inventory
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.choice.order import in_order
from advisor.recommend.objective import Objective
from advisor.simulation import Simulation, in_busiest_hour
from twin.profile import Profile
from twin.settings import Settings

SLOTS = (0.8, 1.25)
"""Times the slots of the answer."""
ADAPTERS = (0.9, 1.1)
"""Times the adapters of the answer."""
MORE = 1.01
"""Times the throughput, and more, is better; ITL decides among those that are nearer (see the objective `steady`)."""
FASTER = 0.98
"""Times the ITL, or less, is better; nearer ones differ by which requests happen to come."""
KEYS = ("throughput_tok_s", "itl_ms", "ttft_ms")


def compared(
    recommendation: Recommendation, inventory: Inventory, profile: Profile, objective: Objective
) -> Recommendation:
    """A verified recommendation, with what the twin measures of its neighbours and whether one of them is better.

    `profile` is what adapters are admitted by: of a pair that nobody measured that of the careful end, which serves the
    answer then, too.

    Raises:
        InputError: the twin is not installed.
    """
    verified = recommendation.verified
    if verified is None or recommendation.settings is None:
        return recommendation
    inventory, here, told_here = in_busiest_hour(inventory), verified, {}
    if recommendation.uncertainty is not None:
        served = inventory.only(recommendation.admission.admitted)
        simulation = Simulation(
            recommendation.basis.pair, recommendation.basis, served, profile, recommendation.settings
        )
        here = simulation.measure(seed=0, objective=objective)
        told_here = {"careful_end": {**_told(here), "missed": here["missed"]}}
    found, loadable = [], int((inventory.workload.rank <= recommendation.settings.max_lora_rank).sum())
    for what, adapters, server in _neighbours(recommendation, recommendation.settings, inventory, profile):
        simulation = Simulation(what, recommendation.basis, adapters, profile, server)
        measures = simulation.measure(seed=0, objective=objective)
        better = not measures["missed"] and _better(measures, here, len(adapters), recommendation, loadable)
        found.append({"change": what, **_told(measures), "missed": measures["missed"], "better": better})
    best = not here["missed"] and not any(each["better"] for each in found)
    return replace(recommendation, verified={**verified, **told_here, "neighbours": found, "best": best})


def _told(measures: Mapping[str, Any]) -> dict[str, Any]:
    return {key: measures[key] for key in KEYS if measures[key] is not None}


def _better(
    measures: Mapping[str, Any], verified: Mapping[str, Any], adapters: int, answer: Recommendation, loadable: int
) -> bool:
    """Whether a neighbour that keeps the objective is to be preferred; of the inventory so many fit into its slots."""
    admitted = answer.admission.adapters
    if verified["missed"]:
        return True
    if adapters != admitted:  # whoever is served anyway gains nothing from room for others
        return adapters > admitted and loadable > admitted
    throughput, itl_ms = verified["throughput_tok_s"], verified["itl_ms"]
    if measures["throughput_tok_s"] > MORE * throughput:
        return True
    faster = itl_ms is not None and measures["itl_ms"] is not None and measures["itl_ms"] <= FASTER * itl_ms
    return faster and measures["throughput_tok_s"] * MORE >= throughput


def _neighbours(
    recommendation: Recommendation, server: Settings, inventory: Inventory, profile: Profile
) -> Iterator[tuple[str, Inventory, Settings]]:
    """What each is, who is served, and how: with no more in host memory than it holds."""
    admitted, held = inventory.only(recommendation.admission.admitted), recommendation.host_memory
    in_host = server.max_cpu_loras

    def room(wanted: int) -> int:
        """What host memory holds of so many adapters."""
        if "max_cpu_loras" in inventory.fixed:
            return in_host
        return max(in_host, wanted) if held is None else max(in_host, min(wanted, held.room))

    if "max_loras" not in inventory.fixed:
        for slots in dict.fromkeys(round(times * server.max_loras) for times in SLOTS):
            left = profile.memory.kv_capacity_tokens(slots, server.max_lora_rank, server.gpu_memory_utilization)
            starts = left >= server.max_model_len and slots <= room(slots)
            if 1 <= slots <= len(admitted) and slots != server.max_loras and starts:
                yield f"{slots:,} slots", admitted, replace(server, max_loras=slots, max_cpu_loras=room(slots))
    asked, idle = np.flatnonzero(admitted.workload.rate > 0), np.flatnonzero(admitted.workload.rate == 0)
    order = in_order(admitted.workload, admitted.names, asked)
    for size in dict.fromkeys(round(times * len(order)) for times in ADAPTERS):
        some = admitted.take(np.concatenate([order[np.arange(size) % len(order)], idle]))
        if size >= 1 and size != len(order) and len(some) <= max(len(admitted), room(len(some))):
            yield f"{len(some):,} adapters", some, replace(server, max_cpu_loras=room(len(some)))
