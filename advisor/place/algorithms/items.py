"""What is dealt out to GPUs: adapters, and parts of those whose traffic exceeds one GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from advisor.place.bound import least_shares
from advisor.place.judge.parts import fewest_parts
from advisor.place.judge.servers import Servers
from advisor.place.placement import Group

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]
Bools = NDArray[np.bool_]

GIANT = 0.12
"""Adapters that take such a share of a GPU at least are tried alone first: they may be too much for one."""
NOWHERE = 1.0
"""What an adapter counts as on GPUs of a type that has no slot for it, where types are compared."""
MOST_REPLICAS = 16
"""Of one adapter."""


@dataclass(frozen=True)
class Items:
    """Adapters, or parts of their traffic, to be dealt out; n of them, known by their positions."""

    adapter: Positions
    """Position in the inventory; shape (n,)."""
    weight: Floats
    """Share of the adapter's requests; shape (n,)."""
    share: Floats
    """What it takes of a GPU at least (see `bound`), by type of GPU; shape (types, n)."""
    served: Bools
    """Whether a GPU of a type serves it, alone; shape (types, n)."""
    apart: Sequence[Positions] = field(default=())
    """Sets of items, no two of which may be on the same GPU."""
    pinned: Mapping[int, Positions] = field(default_factory=dict)
    """Number of a GPU -> items that have to be on it."""

    def __len__(self) -> int:
        return len(self.adapter)

    @property
    def free(self) -> Positions:
        """Those that are not pinned and that some GPU serves."""
        free: Bools = np.asarray(self.served.any(axis=0))
        for items in self.pinned.values():
            free[items] = False
        return np.flatnonzero(free)

    def group(self, items: Positions, gpu_type: int = 0) -> Group:
        """A group of some items."""
        items = items[np.argsort(self.adapter[items], kind="stable")]
        parts = items[self.weight[items] < 1.0]
        weights = dict(zip(self.adapter[parts].tolist(), self.weight[parts].tolist(), strict=True))
        return Group(tuple(self.adapter[items].tolist()), gpu_type, weights)


def items_of(servers: Servers) -> Items:
    """All adapters, those split whose traffic exceeds one GPU of any type if that is allowed."""
    problem, types = servers.problem, range(len(servers.problem.gpu_types))
    refused = servers.refused()
    adapters = np.array([i for i in range(len(problem.inventory)) if i not in refused], dtype=np.int64)
    share = np.stack([least_shares(servers, each)[adapters] for each in types])
    counts = np.isfinite(share).astype(np.int64)
    share = np.where(np.isfinite(share), share, NOWHERE)
    for place in np.flatnonzero(np.where(counts > 0, share, 0.0).max(axis=0, initial=0.0) > GIANT).tolist():
        counts[:, place] = [_parts(servers, int(adapters[place]), each) for each in types]
    wanted = np.array([problem.copies.get(adapter, 1) for adapter in adapters.tolist()], dtype=np.int64)
    parts = np.maximum(np.where(counts > 0, counts, MOST_REPLICAS + 1).min(axis=0), wanted)
    parts = np.where(parts > MOST_REPLICAS, 1, parts)
    demanded = np.array([adapter in problem.copies for adapter in adapters.tolist()], dtype=np.bool_)
    parts = np.where(demanded, wanted, parts)
    item_of, first = np.repeat(np.arange(len(adapters)), parts), np.cumsum(parts) - parts
    replicas = [np.arange(first[i], first[i] + parts[i]) for i in np.flatnonzero(parts > 1)]
    place_of = {int(adapter): place for place, adapter in enumerate(adapters)}

    def items(group: Sequence[int]) -> Positions:
        known = [place_of[adapter] for adapter in sorted(group) if adapter in place_of]
        return np.concatenate([np.arange(first[i], first[i] + parts[i]) for i in known] or [first[:0]])

    pinned: dict[int, list[int]] = {}
    for adapter, gpu in sorted(problem.pins.items()):
        pinned.setdefault(gpu, []).append(adapter)
    return Items(
        adapters[item_of],
        1.0 / parts[item_of],
        (share / parts)[:, item_of],
        ((counts > 0) & (counts <= parts))[:, item_of],
        (*replicas, *(items(tuple(each)) for each in problem.apart)),
        {gpu: items(each)[::1] for gpu, each in pinned.items()},
    )


def _parts(servers: Servers, adapter: int, gpu_type: int) -> int:
    """On how many GPUs of a type an adapter has to be; 0 where none serves even a part of it, or must not."""

    def serves(count: int) -> bool:
        weights = {adapter: 1.0 / count} if count > 1 else {}
        return not servers.judge(Group((adapter,), gpu_type, weights)).missed

    if serves(1):
        return 1
    return (fewest_parts(serves, MOST_REPLICAS) or 0) if servers.problem.replicas else 0
