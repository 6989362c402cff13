"""Placements for tests: adapters of any names on GPUs of the small zoo, put there by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from advisor.inventory.inventory import Inventory, parse
from advisor.place.judge.servers import Servers
from advisor.place.placement import Assignment, Group, Placement
from advisor.place.problem import GpuType, Problem
from advisor.zoo.pair import Pair
from tests.advisor import inventories


def placed(
    pair: Pair,
    names: Sequence[str],
    gpus: Mapping[int, Mapping[int, float]],
    *,
    standby: Mapping[int, int] | None = None,
    sources: bool = True,
) -> tuple[Inventory, Placement]:
    """Adapters of these names, and on which GPU which of them are with which share of their requests."""
    rows = [
        {"name": name, "rank": 8, "rate": 0.05} | ({"source": f"/from/{name}"} if sources else {}) for name in names
    ]
    inventory = parse(
        inventories.toml(
            {
                "model": "tiny-1b",
                "gpu": "test-gpu",
                "lengths": {"input": {"mean": 100, "std": 50}, "output": {"mean": 100, "std": 50}},
                "adapters": rows,
            }
        )
    )
    servers = Servers(Problem(inventory, (GpuType(pair),)))
    assignments: list[Assignment] = []
    for gpu, adapters in gpus.items():
        partly = {adapter: share for adapter, share in adapters.items() if share < 1}
        assigned = servers.assign(gpu, Group(tuple(sorted(adapters)), weights=partly))
        assert assigned is not None
        assignments.append(assigned)
    there = {adapter for adapters in gpus.values() for adapter in adapters}
    unplaced = {adapter: "no room" for adapter in range(len(names)) if adapter not in there}
    for adapter, gpu in (standby or {}).items():
        place = list(gpus).index(gpu)
        assignments[place] = replace(assignments[place], standby=(*assignments[place].standby, adapter))
    return inventory, Placement(tuple(assignments), unplaced, 1, "by hand")
