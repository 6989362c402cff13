"""Inventories to compare placements with: the papers' mixes, the grid's other kinds, clients of services, hard ones.

Each is scaled to some number of GPUs' worth of the least that its adapters take (see `advisor.place.bound`).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advisor.inventory.inventory import Inventory
from advisor.place.bound import Relaxation, demand_of
from advisor.zoo.pair import Pair
from model_zoo.campaign.grid import PAPER_LENGTHS, RANKS, papers, sample
from twin.workload import Workload

Floats = NDArray[np.float64]

SEED = 17
PAPERS, OTHERS = 16, 16
"""Mixes of the papers' kind, and of the other kinds of the grid."""
MOST = 20_000
"""Adapters of one inventory."""
TOKENS_S = 4000.0
"""Of all clients of a service together, about what one GPU serves."""
LARGEST_SHARE = 0.3
"""Of that, what a client brings at most: the busiest are thinned out."""


@dataclass(frozen=True, slots=True)
class Case:
    """An inventory to place."""

    name: str
    kind: str
    inventory: Inventory
    pair: Pair


def cases(pairs: tuple[Pair, ...], gpus: float, clients: Path | None, only: str = "") -> Iterator[Case]:
    """All whose name holds `only`, the pairs in turn; those of a service's clients where their table is given."""
    for number, (kind, name, mix) in enumerate(_mixes(clients)):
        pair = pairs[number % len(pairs)]
        if only in name:
            yield Case(name, kind, Inventory.of_workload(_scaled(mix, pair, gpus), pair.profile.pair), pair)


def _mixes(clients: Path | None) -> Iterator[tuple[str, str, Workload]]:
    """Kind, name and adapters of each, at any size."""
    recipes = papers()
    for recipe in recipes[:: len(recipes) // PAPERS][:PAPERS]:
        yield "papers", f"papers {recipe.number}", recipe.adapters(240)
    others = [each for each in sample(64, SEED) if each.kind != "papers"][:OTHERS]
    for recipe in others:
        # Base traffic and shared prefixes are left out: no placement takes the one, no GPU is fuller by the other.
        mix = replace(recipe.adapters(240), base=None, shared_prefix=None)
        yield recipe.kind, f"{recipe.kind} {recipe.number}", mix
    if clients is not None:
        yield from (("clients", name, mix) for name, mix in _services(clients))
    yield from (("hard", name, mix()) for name, mix in HARD.items())


def _scaled(mix: Workload, pair: Pair, gpus: float) -> Workload:
    """As many of such adapters as take so many GPUs at least: repeated, or the first of them."""
    relaxation = Relaxation(pair.profile, {})
    asked = np.flatnonzero(mix.rate > 0)
    demand = demand_of(mix.take(asked), pair.profile)
    takes = float(relaxation.least(demand, relaxation.refined(demand, rounds=4)).sum())
    count = min(max(round(len(mix) * gpus / takes), 4), MOST)
    where = np.arange(count) % len(mix)
    if count < len(mix):
        where = np.unique(np.linspace(0, len(mix) - 1, count).astype(np.int64))
    return mix.take(where)


def _services(path: Path) -> Iterator[tuple[str, Workload]]:
    """The clients of each service of ServeGen as adapters, their busiest thinned out; ranks at random."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if all(row.values())]
    generator = np.random.default_rng(SEED)
    for service in sorted({row["service"] for row in rows}):
        mine = [row for row in rows if row["service"] == service]
        rate, cv, *lengths = (
            np.array([float(row[key]) for row in mine])
            for key in ("rate_rps", "arrival_cv", "input_mean", "input_std", "output_mean", "output_std")
        )
        for name, share, ranks in (
            ("", 1.0, np.array(RANKS[:3])),
            (", flattened", 0.5, np.array(RANKS)),
            (", Poisson", 0.5, np.array(RANKS[:2])),
        ):
            tokens = lengths[0] + lengths[2]
            load = rate**share * tokens
            load = np.minimum(load * TOKENS_S / load.sum(), LARGEST_SHARE * TOKENS_S)
            mix = Workload(
                generator.choice(ranks, len(mine)).astype(np.float64),
                load / tokens,
                np.maximum(lengths[0], 1.0),
                lengths[1],
                np.maximum(lengths[2], 1.0),
                lengths[3],
                np.ones(len(mine)) if "Poisson" in name else np.clip(cv, 0.1, 5.0),
            )
            yield f"{service}{name}", mix


def _alike(rate: Floats, rank: Floats | float) -> Workload:
    lengths = PAPER_LENGTHS
    return Workload.alike(
        np.asarray(rate, dtype=np.float64),
        rank=rank,
        input_mean=lengths.input_mean,
        input_std=lengths.input_std,
        output_mean=lengths.output_mean,
        output_std=lengths.output_std,
        correlation=lengths.correlation,
    )


def _ranks(count: int, values: tuple[int, ...]) -> Floats:
    return np.array(values, dtype=np.float64)[np.arange(count) % len(values)]


def _joined(*mixes: Workload) -> Workload:
    def column(name: str) -> Floats:
        return np.concatenate([getattr(mix, name) for mix in mixes])

    return replace(
        mixes[0],
        rank=column("rank"),
        rate=column("rate"),
        input_mean=column("input_mean"),
        input_std=column("input_std"),
        output_mean=column("output_mean"),
        output_std=column("output_std"),
        cv=column("cv"),
    )


def _lengths(mix: Workload, input_mean: float, output_mean: float) -> Workload:
    ones = np.ones(len(mix))
    return replace(
        mix,
        input_mean=input_mean * ones,
        input_std=input_mean * ones,
        output_mean=output_mean * ones,
        output_std=output_mean * ones / 2,
    )


def _spread(count: int, low: float, high: float) -> Floats:
    return np.geomspace(low, high, count)[np.argsort((np.arange(count) * (math.sqrt(5) - 1) / 2) % 1.0)]


HARD: dict[str, Callable[[], Workload]] = {
    "a giant among many small": lambda: _joined(_alike(np.array([4.0]), 16.0), _alike(np.full(299, 0.01), 8.0)),
    "a giant of large rank": lambda: _joined(_alike(np.array([2.0]), 64.0), _alike(np.full(299, 0.02), 8.0)),
    "all ranks different": lambda: _alike(np.full(256, 0.05), np.arange(1.0, 257.0) / 4 // 1 + 1),
    "all ranks that there are": lambda: _alike(np.full(240, 0.03), _ranks(240, (1, 8, 16, 32, 64))),
    "one in eight of rank 64": lambda: _alike(np.full(240, 0.05), _ranks(240, (64, 8, 8, 8, 8, 8, 8, 8))),
    "all rates equal": lambda: _alike(np.full(240, 0.1), _ranks(240, (8, 16, 32))),
    "all alike": lambda: _alike(np.full(240, 0.05), 16.0),
    "rates over three decades": lambda: _alike(_spread(240, 0.001, 1.0), _ranks(240, (8, 32))),
    "busy of small rank, quiet of large": lambda: _joined(
        _alike(np.full(40, 0.8), 8.0), _alike(np.full(200, 0.01), 64.0)
    ),
    "busy of large rank, quiet of small": lambda: _joined(
        _alike(np.full(40, 0.4), 64.0), _alike(np.full(200, 0.01), 8.0)
    ),
    "thousands idle": lambda: _joined(_alike(np.full(100, 0.2), 16.0), _alike(np.zeros(400), 32.0)),
    "long answers": lambda: _lengths(_alike(np.full(240, 0.01), _ranks(240, (8, 16, 32))), 300, 1500),
    "long prompts": lambda: _lengths(_alike(np.full(240, 0.01), _ranks(240, (8, 16))), 4000, 60),
    "long prompts beside long answers": lambda: _joined(
        _lengths(_alike(np.full(120, 0.02), 8.0), 3000, 50), _lengths(_alike(np.full(120, 0.01), 16.0), 100, 1000)
    ),
    "a third of a GPU each": lambda: _alike(np.full(24, 3.5), _ranks(24, (8, 16))),
    "hardly asked": lambda: _alike(np.full(480, 0.002), _ranks(480, (8, 16, 32))),
}
"""What is hard for one algorithm or another, by name."""
