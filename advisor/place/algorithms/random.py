"""Baseline: adapters dealt out at random, a slot for each, on the fewest GPUs for which that works."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from advisor.place.algorithms.fewest import fewest
from advisor.place.algorithms.items import items_of
from advisor.place.judge.servers import Servers
from advisor.place.placement import Group


def random(servers: Servers) -> Iterator[list[Group]]:
    """Every GPU gets as many adapters, whichever they are."""
    items = items_of(servers)
    order = np.random.default_rng(servers.problem.seed).permutation(items.free)
    yield fewest(servers, items, lambda gpus: np.array_split(order, gpus), slots=True)
