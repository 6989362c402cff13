"""The algorithms: each a module with one function, from a problem to groups of adapters."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from advisor.place.algorithms.dlora import dlora
from advisor.place.algorithms.greedy import greedy
from advisor.place.algorithms.loraserve import loraserve
from advisor.place.algorithms.max_backbone import max_backbone
from advisor.place.algorithms.packing import pack
from advisor.place.algorithms.random import random
from advisor.place.judge.servers import Servers
from advisor.place.placement import Group

Algorithm = Callable[[Servers], Iterator[list[Group]]]
"""From a problem, with what judges its groups, to groups: placements, each better than the one before.

The number of a GPU is the place of its group in the list; a group may be empty. Adapters that are in no group have been
found to fit on no GPU, or not on the number of GPUs that there is.
"""

ALGORITHMS: dict[str, Algorithm] = {
    "packing": pack,
    "greedy": greedy,
    "loraserve": loraserve,
    "dlora": dlora,
    "random": random,
    "max-backbone": max_backbone,
}
"""By name: ours, which is the default, then the baselines."""
