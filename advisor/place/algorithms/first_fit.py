"""Fill one GPU after the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from advisor.place.placement import Group
from advisor.place.servers import Servers, group_of
from advisor.recommend.search import largest


def first_fit(servers: Servers) -> Iterator[list[Group]]:
    """Adapters by rank, then by rate, both descending; every GPU takes as many of the next as it serves."""
    mix = servers.mix()
    order = np.lexsort((-mix.rate, -mix.rank))
    refused = servers.refused()
    order = np.array([each for each in order if int(each) not in refused], dtype=np.int64)
    groups: list[Group] = []
    start, guess = 0, 64
    most = servers.problem.gpus or len(order)
    while start < len(order) and len(groups) < most:
        left = order[start:]

        def misses(size: int, left: np.ndarray[tuple[int], np.dtype[np.int64]] = left) -> list[str]:
            return list(servers.judge(group_of(left[:size])).missed)

        size, _ = largest(min(guess, len(left)), len(left), misses)
        if size:
            groups.append(group_of(left[:size]))
            guess = size
        start += max(size, 1)
    yield groups
