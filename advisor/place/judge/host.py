"""The host of a server: how many adapters its memory holds, and whether reading the others from disk is bearable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from advisor.inventory.inventory import Inventory
from advisor.recommend.server import host_memory
from advisor.recommend.server.host_memory import GIB, Floats, HostMemory, HostRoom
from advisor.zoo.pair import Pair
from twin.settings import Settings
from twin.workload import Workload


@dataclass(frozen=True, slots=True)
class Host:
    """What `recommend` asks of the host of one server, for any adapters of an inventory. Each server has its own."""

    inventory: Inventory
    pair: Pair
    weights: Floats | None
    """What each adapter takes of its memory, bytes; None where that is not known."""

    @classmethod
    def of(cls, inventory: Inventory, pair: Pair) -> Host:
        """The host of servers of a pair."""
        return cls(inventory, pair, host_memory.weights(replace(inventory, dynamic=False), pair))

    @property
    def most(self) -> int | None:
        """Adapters on a server, where `max_cpu_loras` is fixed."""
        most = self.inventory.fixed.get("max_cpu_loras")
        return None if most is None else int(most)

    @property
    def limited(self) -> bool:
        """Whether there may be too many adapters for it."""
        return self.most is not None or self.limit_gib is not None

    @property
    def limit_gib(self) -> float | None:
        """What there is, where that is known and nobody fixed how many adapters are held."""
        return None if self.most is not None or self.weights is None else self.inventory.host_memory_gib

    def room(self, adapters: Sequence[int], workload: Workload) -> HostRoom | None:
        """What is held of these adapters, of this traffic; None where all are."""
        if self.limit_gib is None or not adapters:
            return None
        return host_memory.room(self.limit_gib, self._weights(adapters), workload, self.pair.profile.loading)

    def refuses(self, adapters: Sequence[int], workload: Workload) -> tuple[str, ...]:
        """Why a server with these adapters is not to be; nothing where it may."""
        count = len(adapters)
        if self.most is not None and count > self.most:
            return (f"max_cpu_loras {self.most:,} < {count:,} adapters",)
        room = self.room(adapters, workload)
        return () if room is None or room.admits >= count else (room.told(count, self._copies),)

    def refuses_running(self, adapters: Sequence[int], workload: Workload, in_host: int) -> tuple[str, ...]:
        """The same of a server that runs and holds so many."""
        count = len(adapters)
        if self.limit_gib is None or not count:
            return () if count <= in_host else (f"max_cpu_loras {in_host:,} < {count:,} adapters",)
        if self.slots(adapters, held := min(count, in_host)) < held:
            told = f"{held:,} of these ranks take more than host memory of {self.limit_gib:g} GiB{self._copies}"
            return (f"max_cpu_loras {in_host:,}, and {told}",)
        if count <= in_host:
            return ()
        room = host_memory.room_of(self.limit_gib, in_host, workload, self.pair.profile.loading)
        return () if room.admits >= count else (room.told(count, self._copies),)

    def slots(self, adapters: Sequence[int], wanted: int) -> int:
        """What `max_cpu_loras` may be of so many: further adapters are taken to be as large as the largest of these."""
        if self.most is not None:
            return self.most
        if self.limit_gib is None or not adapters:
            return wanted
        each = self._weights(adapters)
        if (fitting := host_memory.fitting(self.limit_gib, each)) == len(each):
            fitting += int((self.limit_gib * GIB - float(each.sum())) / float(each.max()))
        return min(fitting, wanted)

    def held(self, adapters: Sequence[int], settings: Settings) -> HostMemory | None:
        """What a server takes of the memory at most; None where what adapters weigh is not known, or there are none."""
        if self.weights is None or not adapters:
            return None
        each, most = np.sort(self._weights(adapters))[::-1], settings.max_cpu_loras
        further = 0 if self.most is not None else max(self.slots(adapters, most) - len(each), 0)
        total = float(each[:most].sum()) + further * float(each[0])
        return HostMemory(most, total / GIB, self.pair.gpus, self.inventory.host_memory_gib)

    def warnings(self, adapters: Sequence[int], held: HostMemory | None, room: HostRoom | None) -> Iterator[str]:
        """What is to be told of a server with these adapters."""
        if adapters:
            yield from host_memory.warnings(self.inventory, held, room, len(adapters))

    def _weights(self, adapters: Sequence[int]) -> Floats:
        """What these weigh; where adapters come and go, any may be as large as the largest."""
        assert self.weights is not None
        found = self.weights[np.array(adapters, dtype=np.int64)]
        return np.full_like(found, found.max()) if self.inventory.dynamic else found

    @property
    def _copies(self) -> str:
        return HostMemory(0, 0.0, self.pair.gpus).copies
