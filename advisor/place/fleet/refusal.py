"""Why adapters are on no GPU: none serves them, or there are too few."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from advisor.names import counted
from advisor.place.placement import Group

if TYPE_CHECKING:
    from advisor.place.fleet.fleet import Fleet

NO_ROOM = "no room"
"""How reasons begin that are none of the adapter's: there are too few GPUs."""
MOST_COPIES = 256
"""GPUs that one adapter's requests are shared among at most."""


def left_out(fleet: Fleet, adapters: Iterable[int]) -> dict[int, str]:
    """Why there is no room for these. Who asks for no more than one that a GPU serves alone is not judged alone."""
    mix, found = fleet.servers.mix(), dict[int, str]()
    asks = np.stack([mix.rank, mix.rate, mix.input_mean, mix.input_std, mix.output_mean, mix.output_std, mix.cv])
    served = asks[:, :0]
    # Where there is no GPU, no slot is larger.
    largest = max((fleet.slot_rank(gpu.adapters) for gpu in fleet.gpus.values()), default=math.inf)
    for adapter in sorted(adapters, key=lambda each: (-fleet.load[each], each)):
        mine = asks[:, [adapter]]
        alone = None
        if adapter in fleet.copies or not (mine <= served).all(axis=0).any():
            alone = _missed_alone(fleet, adapter)
            served = served if alone else np.append(served, mine, axis=1)
        found[adapter] = _no_room(fleet, adapter, largest) if alone is None or _shareable(fleet, adapter) else alone
    return found


def _missed_alone(fleet: Fleet, adapter: int) -> str | None:
    """What keeps any GPU from serving an adapter (a copy of it) by itself; None if nothing does."""
    copies = fleet.copies.get(adapter, 1)
    weights = {adapter: 1 / copies} if copies > 1 else {}
    types = range(len(fleet.problem.gpu_types))
    missed = [fleet.servers.judge(Group((adapter,), each, weights)).missed for each in types]
    return None if not all(missed) else f"no {fleet.problem.unit} serves it, even alone: {'; '.join(missed[0])}"


def _no_room(fleet: Fleet, adapter: int, largest_slot_rank: float) -> str:
    rank, problem = fleet.slot_rank([adapter]), fleet.problem
    larger = rank > largest_slot_rank
    copies = fleet.copies.get(adapter, 1)
    there_are = sum(problem.there_are(each) for each in range(len(problem.gpu_types)))
    most = min(problem.gpus or math.inf, there_are)
    where = f"on the {problem.unit}s that serve it" if math.isinf(most) else f"on {counted(int(most), problem.unit)}"
    where = f"for its {copies} replicas {where}" if copies > 1 else where
    return f"{NO_ROOM} {where}" + (f", for every slot beside it would have to be of rank {rank}" if larger else "")


def _shareable(fleet: Fleet, adapter: int) -> bool:
    """Whether GPUs would serve an adapter if it were on as many as there may be."""
    if not fleet.problem.replicas or adapter in fleet.copies:
        return False
    return any(fleet.serves_part(each, adapter, MOST_COPIES) for each in range(len(fleet.problem.gpu_types)))
