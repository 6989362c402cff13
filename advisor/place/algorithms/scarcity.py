"""Who comes first where there are too few GPUs for all: those of whom the most is served.

As where one GPU is too few (`advisor recommend`), what is served counts as adapters times tokens/s: neither a hundred
adapters that are hardly asked nor a single one that fills a GPU is what most would want. Large ranks come last, for
every slot is as large as the largest rank on its GPU needs, unless they bring more than they take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from advisor.place.algorithms.filling import Filled, fill_all
from advisor.place.algorithms.items import Items, Positions
from advisor.place.judge.servers import Servers
from twin.settings import slot_rank

GROWTH = 1.05
"""Times as much is tried next where all that was tried found room."""
TRIES = 4
"""Of each preference."""


def most_served(
    servers: Servers, items: Items, order: Positions, types: Sequence[int], best: list[Filled], *, until: float
) -> tuple[list[Filled], Positions]:
    """What serves the most, of the best so far and those tried, and the items in the order it was filled in.

    The `order` given is one of all in which GPUs are filled well. In that come those that are preferred, as many as
    there may be room for, and then the others.
    """
    filled_in, share = order, items.share[types[0]]
    for preferred in _preferences(servers, items, order, types[0]):
        taken, tried, room = np.cumsum(share[preferred]), preferred, 0.0
        for _ in range(TRIES):
            if servers.evaluations > until:
                return best, filled_in
            found = fill_all(servers, items, tried, types)
            if worth(servers, items, found) > worth(servers, items, best):
                best, filled_in = found, tried
            placed = np.concatenate([each.items for each in found])
            if room and not np.isin(preferred[taken <= room], placed).all():
                break
            room = GROWTH * room if room else float(share[placed].sum())
            some = np.isin(order, preferred[taken <= room])
            tried = np.concatenate([order[some], order[~some]])
    return best, filled_in


def worth(servers: Servers, items: Items, filled: Sequence[Filled]) -> float:
    """Of those that are served, no part of their requests left out; see `Servers.worth`."""
    placed = np.zeros(len(items), dtype=np.bool_)
    for each in filled:
        placed[each.items] = True
    shares = np.bincount(items.adapter, items.weight * placed, len(servers.problem.inventory))
    return servers.worth(shares > 1.0 - 1e-9)


def _preferences(servers: Servers, items: Items, order: Positions, gpu_type: int) -> Iterator[Positions]:
    """Who comes first: small ranks, of each the mix or whoever brings the most for what it takes; or that alone."""
    mix = servers.mix().take(items.adapter[order])
    rank = np.array([slot_rank(float(each)) for each in mix.rank])
    weight, share = items.weight[order], items.share[gpu_type][order]
    load = mix.rate * weight * (mix.input_mean + mix.output_mean)
    more = weight / weight.sum() + load / (float(load.sum()) or 1.0)
    # Who is never asked takes slots as large as its rank at the worst: it comes last.
    brings = -np.where(share > 0, more / np.maximum(share, 1e-300), 0.0)
    yield order[np.argsort(rank, kind="stable")]
    yield order[np.lexsort((brings, rank))]
    yield order[np.argsort(brings, kind="stable")]
