"""The placement before, continued: GPUs keep whom they serve, as far as they can."""

from __future__ import annotations

from collections.abc import Mapping

from advisor.place.changes.previous import Running
from advisor.place.fleet.consolidation import without_one
from advisor.place.fleet.fleet import Fleet
from advisor.place.fleet.settling import settle
from advisor.place.judge.servers import Servers
from advisor.place.placement import Group


def continued(servers: Servers, previous: Mapping[int, Running], positions: Mapping[str, int]) -> Fleet:
    """A fleet like the one before: who does not fit any more is elsewhere, who is new is where there is room.

    Then GPUs are emptied, the least loaded first, for as long as the others take their adapters; where their number is
    fixed, only those that there are no more.
    """
    fleet = Fleet(servers)
    by_pair = {each.pair.name: number for number, each in enumerate(servers.problem.gpu_types)}
    groups, numbers = list[Group](), list[int]()
    for gpu, running in sorted(previous.items()):
        adapters = tuple(sorted(positions[name] for name in running.adapters if name in positions))
        if running.pair is None or running.pair in by_pair:
            groups.append(Group(adapters, by_pair.get(running.pair or "", 0)))
            numbers.append(gpu)
    settle(fleet, groups, numbers)
    most = servers.problem.gpus or 0
    while len(fleet.gpus) > most and (fewer := without_one(fleet)) is not None:
        fleet = fewer
    return fleet
