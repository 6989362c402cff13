"""What the shipped pairs are asked, and what the engine makes of their answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from advisor.inventory.inventory import Inventory
from advisor.recommend.answer.recommendation import Recommendation
from advisor.zoo.pair import Pair
from twin.engine.simulation import Measures, simulate
from twin.workload import Workload


def workload(
    rates: np.ndarray, ranks: float | np.ndarray = 16, lengths: tuple[float, ...] = (223, 191, 196, 181)
) -> Workload:
    ones = np.ones(len(rates))
    return Workload(ranks * ones, rates * ones, *(length * ones for length in lengths), ones)


def inventory(mix: Workload, **further: dict[str, float]) -> Inventory:
    names = tuple(f"a-{i}" for i in range(len(mix)))
    return Inventory(
        "llama-3.1-8b-instruct",
        "h100-64gb",
        names,
        (None,) * len(mix),
        mix,
        further.get("server", {}),
        further.get("fixed", {}),
    )


def served(answer: Recommendation, asked: Inventory, pair: Pair, *, traffic: float = 1.0) -> Measures:
    """What the engine makes of the answer, with so many times the traffic: the front end's stalls left out, for slots
    cannot help them."""
    assert answer.settings is not None
    admitted = asked.only(answer.admission.admitted).workload
    front_end = pair.profile.front_end.model_copy(update={"stall_every_s": 0.0})
    return simulate(
        pair.profile.model_copy(update={"front_end": front_end}),
        answer.settings,
        replace(admitted, rate=traffic * admitted.rate),
        seed=3,
    )
