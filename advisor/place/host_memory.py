"""What the servers of a placement take of their hosts' memory, and what is to be told of that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from advisor.names import counted, listed
from advisor.place.bound import lower_bound
from advisor.place.judge.servers import Servers
from advisor.place.placement import Group, Placement

NAMED = 4
"""GPUs that are named with what is told of them before the rest is only counted."""
TOLD = 3
"""Different things that are told before the GPUs that there is more to tell of are only counted."""


def with_host_memory(placement: Placement, servers: Servers) -> Placement:
    """The placement with what each server takes of that memory, and with warnings where it is short, or much."""
    unit, assignments = placement.unit, []
    gpus, weight = defaultdict[str, list[int]](list), defaultdict[str, tuple[float, float]](lambda: (0.0, 0.0))
    for each in placement.assignments:
        gpu_type = servers.problem.position(each.gpu_type)
        host = servers.host(gpu_type)
        there = each.adapters or each.standby
        held = host.held(there, each.settings)
        assignments.append(replace(each, host_memory=held))
        group = Group(each.adapters, gpu_type, each.weights, base=each.base)
        room = host.room(each.adapters, servers.workload(group)) if each.adapters else None
        for warning in host.warnings(there, held, room):
            gpus[warning].append(each.gpu)
            weight[warning] = max(weight[warning], (room.stalled if room else 0.0, held.gib if held else 0.0))
    told = sorted(gpus, key=lambda each: (*(-amount for amount in weight[each]), gpus[each]))
    lines = [*_decides(placement, servers)]
    lines += [f"{listed([f'{unit} {gpu}' for gpu in gpus[each]], NAMED)}: {each}" for each in told[:TOLD]]
    if more := sum(len(gpus[each]) for each in told[TOLD:]):
        lines.append(f"{counted(more, unit)} more, of which less is to be told, for the memory of hosts")
    return replace(placement, assignments=tuple(assignments), warnings=(*placement.warnings, *lines))


def _decides(placement: Placement, servers: Servers) -> Iterator[str]:
    """That it is host memory that takes so many GPUs, where their load alone would not."""
    limit_gib, unit = servers.problem.inventory.host_memory_gib, placement.unit
    if limit_gib is None or not servers.host().limited or not placement.assignments:
        return
    placed = {adapter for each in placement.assignments for adapter in each.adapters}
    by_load = lower_bound(servers, placed, base=placement.base is not None, in_hosts=False)
    if by_load < placement.lower_bound:
        yield (
            f"host memory decides: with {limit_gib:g} GiB for each {unit}'s server these adapters take "
            f"{placement.lower_bound:,} {unit}s at least; with enough of it {by_load:,} might do"
        )
