"""Host memory: vLLM keeps in it whatever is in a slot, and further adapters up to `max_cpu_loras`; of more, those that
were asked least recently are dropped and read from disk again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.derive.llm.modules import adapter_bytes
from advisor.inventory.inventory import Inventory
from advisor.names import counted
from advisor.zoo.pair import Pair
from twin.profile import Loading
from twin.settings import Settings, slot_rank
from twin.workload import Workload

Floats = NDArray[np.float64]

GIB = 2.0**30
LARGE_GIB = 32.0
"""More than many hosts have to spare beside one GPU: worth a word where nobody said how much there is."""
STALLED = 0.01
"""Of the time, what may go into reading adapters from disk before fewer are admitted: everybody waits meanwhile, so
that every step becomes as much longer on average. The models are off by several times that."""
_ROUNDS = 60
"""Bisections for the time in which so many adapters come by; each halves what is left of it."""


@dataclass(frozen=True, slots=True)
class HostRoom:
    """How many adapters of a mix the host's memory holds, and what is done about the others."""

    limit_gib: float
    slots: int
    """The most that `max_cpu_loras` may be: so many fit, whichever they are."""
    admits: int
    """The most adapters that may be served: more than there are slots where so few are read from disk."""
    loads: float
    """Adapters read from disk in a second, if all of the mix are served."""
    load_ms: float
    """What one takes, in which every request waits, ms."""

    @property
    def stalled(self) -> float:
        """Share of the time in which everybody waits for the disk, if all of the mix are served."""
        return self.loads * self.load_ms / 1e3

    def told(self, adapters: int, copies: str = "") -> str:
        """What is to be said where so many adapters do not fit."""
        holds = f"host memory of {self.limit_gib:g} GiB holds {counted(self.slots, 'adapter')} of these ranks{copies}"
        if not self.loads:
            return f"{holds}; the others are read from disk if they are ever asked, {self.load_ms:,.0f} ms each"
        disk = (
            f"{self.loads:,.2g} requests/s find their adapter on disk, {self.load_ms:,.0f} ms each in which all others "
            f"wait ({self.stalled:.1%} of the time)"
        )
        if self.admits > self.slots:
            return f"{holds}: {disk}"
        return f"{holds}, so no more are admitted; were all {adapters:,} served, {disk}"

    def too_small(self, slots: int) -> str:
        """What is to be said where it holds fewer than there are to be slots."""
        return f"host memory of {self.limit_gib:g} GiB holds {self.slots} adapters, fewer than max_loras {slots}"


@dataclass(frozen=True, slots=True)
class HostMemory:
    """What the recommended server takes of the host's memory for adapters."""

    adapters: int
    """`max_cpu_loras`: those that it holds."""
    gib: float
    """What so many weigh, the largest of those that are served; GiB, of all worker processes together."""
    workers: int = 1
    """Processes that each keep a copy of all of them: one for each GPU of the server."""
    limit_gib: float | None = None
    """What there is, where the inventory says."""

    @property
    def fits(self) -> bool:
        """Whether there is room, as far as anyone said."""
        return self.limit_gib is None or self.gib <= self.limit_gib

    @property
    def room(self) -> int:
        """How many adapters of that weight there is room for, as far as anyone said."""
        if self.limit_gib is None or not self.gib:
            return sys.maxsize
        return int(self.limit_gib / self.gib * self.adapters)

    @property
    def copies(self) -> str:
        """A word where each of several workers keeps a copy."""
        return "" if self.workers == 1 else f", a copy in each of {self.workers} worker processes"

    def document(self) -> dict[str, Any]:
        """As plain data, for the answer."""
        return {
            "adapters": self.adapters,
            "gib": round(self.gib, 2),
            **({} if self.workers == 1 else {"workers": self.workers}),
            **({} if self.limit_gib is None else {"limit_gib": self.limit_gib}),
        }


def room(limit_gib: float, weights: Floats, mix: Workload, loading: Loading) -> HostRoom | None:
    """What fits of adapters of these weights; None where all of them do.

    The cache drops who was asked least recently, so that any of them may be in it together: the largest must fit.
    """
    slots = fitting(limit_gib, weights)
    return None if slots >= len(mix) else room_of(limit_gib, slots, mix, loading)


def fitting(limit_gib: float, weights: Floats) -> int:
    """How many of adapters of these weights fit, whichever they are."""
    return int(np.searchsorted(np.cumsum(np.sort(weights)[::-1]), limit_gib * GIB, side="right"))


def room_of(limit_gib: float, slots: int, mix: Workload, loading: Loading) -> HostRoom:
    """What comes of a mix of more adapters than are held."""
    absent = _absent(mix.rate, slots)
    loads = mix.rate * absent
    disk_ms = loading.disk_base_ms + loading.disk_per_rank_ms * mix.rank
    total = float(loads.sum())
    load_ms = float(loads @ disk_ms) / total if total else float(disk_ms.max())
    few = slots > 0 and total * load_ms / 1e3 <= STALLED
    return HostRoom(limit_gib, slots, len(mix) if few else slots, total, load_ms)


def weights(inventory: Inventory, pair: Pair) -> Floats | None:
    """What the adapters of an inventory weigh, bytes; None where the shape of their model is not known.

    Where a server spans several GPUs, each GPU's process keeps whole adapters of its own. Where adapters come and go,
    any may be as large as the largest that is known.
    """
    shape = pair.shape
    if shape is None:
        return None
    modules = [inventory.target_modules.get(name) for name in inventory.names]
    per_rank = {each: adapter_bytes(shape, each) for each in set(modules)}
    ranks = np.array([slot_rank(rank) for rank in inventory.workload.rank], dtype=np.float64)
    found = pair.gpus * ranks * np.array([per_rank[each] for each in modules])
    return np.full_like(found, found.max()) if inventory.dynamic else found


def held(
    inventory: Inventory, pair: Pair, weights: Floats | None, admitted: NDArray[np.int64], settings: Settings
) -> HostMemory | None:
    """What the server holds in host memory; None where it is not known what adapters weigh."""
    if weights is None:
        return None
    heaviest = np.sort(weights[admitted])[::-1][: settings.max_cpu_loras]
    total = float(heaviest.max() * settings.max_cpu_loras if inventory.dynamic else heaviest.sum())
    return HostMemory(settings.max_cpu_loras, total / GIB, pair.gpus, inventory.host_memory_gib)


def warnings(inventory: Inventory, held: HostMemory | None, host: HostRoom | None, of: int) -> Iterator[str]:
    """What is to be told of host memory where it is for so many adapters."""
    limit_gib = inventory.host_memory_gib
    if held is None:
        if limit_gib is not None:
            yield f"host_memory_gib is not heeded: the shape of {inventory.model} is not known"
        return
    if host is not None:
        yield host.told(of, held.copies)
    elif not held.fits:
        yield (
            f"max_cpu_loras {held.adapters:,} takes up to {held.gib:,.1f} GiB of host memory{held.copies}: more than "
            f"the {limit_gib:g} GiB that there are"
        )
    elif limit_gib is None and held.gib > LARGE_GIB:
        yield (
            f"max_cpu_loras {held.adapters:,} takes up to {held.gib:,.1f} GiB of host memory{held.copies}: where "
            "there is less, say so (host_memory_gib in the inventory)"
        )


def _absent(rate: Floats, slots: int) -> Floats:
    """Of each adapter's requests, the share that finds it dropped: those after a pause in which so many others came by.

    Che's approximation of a cache that drops the least recently used; arrivals are Poisson.
    """
    if slots >= int((rate > 0).sum()):
        return np.zeros_like(rate)
    low, high = -20.0, 25.0  # e to the power of these, s: from nanoseconds to some thousand years
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        present = float(-np.expm1(-rate * np.exp(middle)).sum())
        low, high = (middle, high) if present < slots else (low, middle)
    absent: Floats = np.exp(-rate * np.exp(low))
    return absent
