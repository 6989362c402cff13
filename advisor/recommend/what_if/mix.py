"""The mix of an inventory, scaled: the same adapters, fewer and more of them, on one GPU."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from advisor import together
from advisor.inventory.inventory import Inventory
from advisor.recommend.choice.configuration import Configuration, Configurator, DoesNotFitError
from advisor.recommend.choice.order import admission_order
from advisor.recommend.objective import Objective
from advisor.recommend.server import host_memory
from advisor.recommend.server.context import settle_context
from advisor.zoo.pair import Pair
from twin.settings import LORA_RANKS
from twin.workload import Workload

MOST_TIMES = 8
"""So many times the adapters that there are is as far as anyone looks ahead."""
STRIDE, EXACT = 1.25, 0.02
"""A limit is sought in strides of so many times, then to within such a share."""


class Mix:
    """The adapters of an inventory that are asked, fewer and more of them in the same mix, on one GPU."""

    def __init__(self, inventory: Inventory, pair: Pair, objective: Objective) -> None:
        """Settle what requests the server accepts, as a recommendation does.

        Raises:
            InputError: a shipped file is missing or altered.
        """
        self.objective, profile, fixed = objective, pair.profile, dict(inventory.fixed)
        context = settle_context(inventory.mix, profile, inventory.server, fixed)
        if context.max_model_len != profile.memory.max_model_len:
            fixed["max_model_len"] = context.max_model_len
        self.fixed = fixed
        everyone = inventory.mix if context.accepted is None else context.accepted
        loadable = everyone.rank <= fixed.get("max_lora_rank", LORA_RANKS[-1])
        asked, idle = np.flatnonzero(loadable & (everyone.rate > 0)), np.flatnonzero(loadable & (everyone.rate == 0))
        self._workload = everyone.take(asked)
        self._order = admission_order(self._workload, tuple(inventory.names[i] for i in asked))
        in_host = _in_host(inventory, pair, everyone)
        self._configured_with = partial(
            Configurator,
            pair,
            objective,
            idle_adapters=len(idle),
            idle_rank=int(everyone.rank[idle].max(initial=0)),
            host_slots=in_host,
            together=together.crowds(inventory, asked[self._order]),
        )
        self.configurator = self._configured_with(fixed=fixed)
        in_host = int(fixed.get("max_cpu_loras", MOST_TIMES * len(everyone) if in_host is None else in_host))
        held = len(idle) if in_host >= len(everyone) else 0  # some are on disk, and more would give way
        self.most = max(min(MOST_TIMES * len(asked), in_host - held), len(asked))
        """Adapters, as far as anyone looks ahead; no more than host memory holds, where that is all there are."""
        self._found: dict[int, Configuration | DoesNotFitError] = {}

    def __len__(self) -> int:
        return len(self._order)

    def some(self, size: int) -> Workload:
        """So many adapters of the mix, again from the first one where there are fewer."""
        return self._workload.take(self._order[np.arange(size) % len(self._order)])

    def configuration(self, size: int) -> Configuration | None:
        """For so many adapters; None where the server does not start for them. Asked once."""
        found = self._configured(size)
        return None if isinstance(found, DoesNotFitError) else found

    def misses(self, size: int) -> list[str]:
        """What of the objective so many adapters miss."""
        found = self._configured(size)
        return [str(found)] if isinstance(found, DoesNotFitError) else self.objective.misses(found.expected)

    def bears(self, size: int, **fixed: int) -> bool:
        """Whether so many adapters meet the objective on a server with these settings in place of its own."""
        try:
            found = self._configured_with(fixed={**self.fixed, **fixed}).configure(self.some(size))
        except DoesNotFitError:
            return False
        return not self.objective.misses(found.expected)

    def limit(self, start: int) -> tuple[int, int]:
        """The most adapters that one GPU takes, sought upwards from a size, and how many were found to be too many.

        Both were asked about. Up to one in fifty lies between them, which the models know no better. Of the first no
        more than `most`, and then the second is 0; 0 where the size itself misses the objective.
        """
        low, high = 0, max(min(start, self.most), 1)
        while not self.misses(high):
            low = high
            if low == self.most:
                return low, 0
            high = min(math.ceil(STRIDE * low), self.most)
        while low and high - low > max(EXACT * low, 1):
            middle = (low + high) // 2
            low, high = (low, middle) if self.misses(middle) else (middle, high)
        return low, high

    def _configured(self, size: int) -> Configuration | DoesNotFitError:
        if size not in self._found:
            try:
                self._found[size] = self.configurator.configure(self.some(size))
            except DoesNotFitError as error:
                self._found[size] = error
        return self._found[size]


def _in_host(inventory: Inventory, pair: Pair, everyone: Workload) -> int | None:
    """How many adapters of this kind host memory holds; None where it holds as many as anyone looks at."""
    limit_gib, each = inventory.host_memory_gib, host_memory.weights(inventory, pair)
    if limit_gib is None or each is None or "max_cpu_loras" in inventory.fixed:
        return None
    loading = pair.profile.loading
    many = np.tile(np.arange(len(everyone)), MOST_TIMES)
    now = host_memory.room(limit_gib, each, everyone, loading)
    then = host_memory.room(limit_gib, each[many], everyone.take(many), loading)
    return None if then is None else max(then.slots, len(everyone) if now is None else now.slots)
