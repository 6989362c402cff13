"""The servers of a fleet: each is judged by the adapters that it is for, not by all that the inventory has.

Who is where is told by a placement or, where the files that are checked name every adapter of the inventory but none
names all, by these files: adapters that several of them name share their requests among these.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from advisor.check.server import Server
from advisor.check.target import Target
from advisor.names import counted

if TYPE_CHECKING:
    from advisor.deploy.deployment import Deployment
    from advisor.inventory.inventory import Inventory
    from advisor.place.changes.previous import Running
    from advisor.recommend.objective import Objective
    from advisor.zoo.pair import Pair

_NUMBERED = re.compile(r"\bgpu-(\d+)\b")
"""What `advisor place` calls the server on a GPU, and how its files begin."""


@dataclass(frozen=True, eq=False)
class Placed:
    """The servers of a placement."""

    gpus: Mapping[int, Running]
    targets: Mapping[int, Target]
    """By number of the GPU; none for those without adapters of their own: they serve requests that name none, or stand
    by for others, and what their files say is all there is to judge."""

    def target(self, deployment: Deployment) -> Target | None:
        """What a server is judged against; None where it is judged by its file alone."""
        number = self.gpu(deployment)
        return None if number is None else self.targets.get(number)

    def gpu(self, deployment: Deployment) -> int | None:
        """The number of its GPU: by its name or its file's, else by the adapters that it names."""
        for name in (deployment.name, PurePath(deployment.file).name):
            if (found := _NUMBERED.search(name)) and int(found[1]) in self.gpus:
                return int(found[1])
        named = {each.name for each in deployment.adapters}
        alike = {
            number: len(named & there) / len(named | there)
            for number, running in self.gpus.items()
            if named & (there := {*running.adapters, *running.standby})
        }
        return max(alike, key=lambda number: (alike[number], -number)) if alike else None


def placed(inventory: Inventory, gpus: Mapping[int, Running], pairs: Sequence[Pair], objective: Objective) -> Placed:
    """A target for every GPU of a placement that has adapters; `pairs` are those of the inventory's GPU types."""
    known, by_name = set(inventory.names), {pair.name: pair for pair in pairs}
    where = defaultdict[str, list[str]](list)
    for number, running in gpus.items():
        for name in running.adapters:
            where[name].append(f"{pairs[0].basis.unit} {number}")
    elsewhere = {name: ", ".join(there) for name, there in where.items()}
    targets = {}
    for number, running in gpus.items():
        if weights := {name: running.weights.get(name, 1.0) for name in running.adapters if name in known}:
            mine = part(inventory, weights, running.base)
            targets[number] = Target(mine, by_name.get(running.pair or "", pairs[0]), objective, elsewhere)
    return Placed(gpus, targets)


@dataclass(frozen=True, eq=False)
class Named:
    """Servers whose files name every adapter of an inventory between them."""

    whole: Target
    servers: Mapping[str, int]
    """Adapter -> how many of them name it."""
    standby: frozenset[frozenset[str]] = frozenset()
    """Sets of adapters of servers that stand by for others."""
    base: float = 0.0
    """Of requests that name no adapter, the share of each of them."""
    _known: dict[frozenset[str], Target] = field(default_factory=dict)

    def target(self, deployment: Deployment) -> Target | None:
        """What a server is judged against; None where it is judged by its file alone."""
        names = frozenset(each.name for each in deployment.adapters if each.name in self.servers)
        if not names or names in self.standby:
            return None
        if names not in self._known:
            weights = {name: 1 / self.servers[name] for name in names}
            self._known[names] = replace(self.whole, inventory=part(self.whole.inventory, weights, self.base))
        return self._known[names]


def named(whole: Target, deployments: Iterable[Deployment]) -> Named | str | None:
    """The fleet that these servers make up; in words, what is missing for that; None where there is no word of one."""
    everyone = frozenset(whole.inventory.names)
    ours = [each for each in deployments if Server(each, "", whole).judged is not None]
    found = {id(each): frozenset(adapter.name for adapter in each.adapters) & everyone for each in ours}
    members = [each for each in ours if found[id(each)]]
    groups = {found[id(each)] for each in members}
    standby = frozenset(each for each in groups if sum(other < each for other in groups) > 1)
    if not groups or everyone in groups - standby:
        return None
    if (union := frozenset[str]().union(*groups)) != everyone:
        if not whole.recommendation.admission.rejected:
            return None
        name, unit = f"{counted(len(groups), 'server')} name{'s' if len(groups) == 1 else ''}", whole.pair.basis.unit
        return (
            f"{name} {len(union):,} of the inventory's {counted(len(everyone), 'adapter')}, more than one {unit} "
            "serves: judged as if for all; check the files of all servers together, or say by a placement who is where"
        )
    kinds = defaultdict[str, Counter[str]](Counter)
    for each in members:
        if (names := found[id(each)]) not in standby:
            kinds[each.kind].update(names)
    # The same servers may be there in several formats; in one format, as many are meant as there are.
    servers = {name: max(counter[name] for counter in kinds.values()) for name in everyone}
    own = any(not each.adapters and not each.partial for each in ours)
    base = 0.0 if own else 1 / len(groups - standby)
    return Named(whole, servers, standby, base)


def part(inventory: Inventory, weights: Mapping[str, float], base: float) -> Inventory:
    """The adapters that are named, with these shares of their requests, and a share of those that name none."""
    found = inventory.only(weights)
    mix = found.workload
    rate = mix.rate * np.array([weights[name] for name in found.names])
    beside = None if mix.base is None or not base else replace(mix.base, rate=mix.base.rate * base)
    return replace(found, workload=replace(mix, rate=rate, base=beside))
