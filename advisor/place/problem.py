"""What is to be placed, on what, and under which conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from advisor.recommend.objective import Objective

if TYPE_CHECKING:  # the command reads this for the names of its options
    from advisor.inventory.inventory import Inventory
    from advisor.zoo.pair import Pair


@dataclass(frozen=True, slots=True)
class GpuType:
    """A kind of GPU that there is, as the pair that serves on it."""

    pair: Pair
    price: float = 1.0
    """Of one GPU, in any currency and for any time, above 0; where all cost the same, the fewest are the cheapest."""
    at_most: int | None = None
    """GPUs of this type that there are; None: as many as are wanted."""


class BaseGpus(StrEnum):
    """Where requests go that name no adapter."""

    SPREAD = "spread"
    """To all GPUs, to each as many."""
    OWN = "own"
    """To GPUs that have no adapters."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An inventory to be placed. Adapters are known by their positions in it."""

    inventory: Inventory
    gpu_types: tuple[GpuType, ...]
    """At least one; all of the inventory's LLM."""
    objective: Objective = field(default_factory=Objective)
    """What every GPU has to keep."""
    gpus: int | None = None
    """A fixed number of GPUs: the load is balanced over them, and what does not fit is left over. None: the fewest."""
    headroom: float = 0.0
    """Every GPU also keeps the objective with so much more traffic, as a share: 0.2 is a fifth more."""
    pins: Mapping[int, int] = field(default_factory=dict)
    """Adapters that have to be on a GPU: position -> number of the GPU."""
    apart: tuple[frozenset[int], ...] = ()
    """Sets of adapters, no two of which may be on the same GPU."""
    copies: Mapping[int, int] = field(default_factory=dict)
    """Adapters that have to be on so many GPUs, each with the same share of their requests: position -> number."""
    replicas: bool = False
    """Whether an adapter whose traffic exceeds one GPU may be on several."""
    failures: int = 0
    """GPUs that may fail, 0 or 1, while the others take over their adapters and still keep the objective."""
    base: BaseGpus | None = None
    """Where requests go that name no adapter, if there are any; None: whichever takes fewer GPUs."""
    reserved: int = 0
    """GPUs beside the fixed number that are for something else."""
    taken: Mapping[int, int] = field(default_factory=dict)
    """GPUs of a type that are for something else: its position -> how many."""
    seed: int = 0
    """Of all that is left to chance: the same seed gives the same placement."""
    time_s: float = 1.0
    """For improving a placement once there is one, seconds at most."""

    @property
    def unit(self) -> str:
        """What is counted as a GPU, as sentences call it: where a server spans several, that server."""
        return self.gpu_types[0].pair.basis.unit

    def position(self, gpu_type: GpuType) -> int:
        """Of one of its types of GPU."""
        return next(i for i, each in enumerate(self.gpu_types) if each is gpu_type)

    def there_are(self, gpu_type: int) -> float:
        """So many GPUs of the type in this position; infinite where there are as many as are wanted."""
        at_most = self.gpu_types[gpu_type].at_most
        return math.inf if at_most is None else max(at_most - self.taken.get(gpu_type, 0), 0)
