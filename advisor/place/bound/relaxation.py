"""How many GPUs any placement needs at least: a relaxation that no placement can beat, under the pair's Profile.

Take any GPU that keeps up with what it is asked, with G adapter slots of rank r and steps of t seconds on average,
so 1 / t steps per second while it works. In every second, of each adapter on it,

    tokens      a request decodes in O - 1 steps and brings I prompt tokens, with their time by the Profile
    presence    it is in the batch of a share p(t) = 1 - exp(-bursts O t) of the steps, and each of these takes longer
    KV cache    a request holds its prompt and what it has written, O I + O^2 / 2 tokens x steps altogether
    lumps       a prompt is cut only where a step is full, of B tokens: of the I - g tokens beyond the largest CUDA
                graph a share of 1 - g / B at least is beyond it in the steps that they are in, too

and the GPU has one second (less what 1 / t empty steps of G slots take), G slots (presences add up to no more), the KV
cache beside G slots of rank r, and the largest batch. Every adapter so takes a share of every resource; a resource in
which the shares add up to more than 1 is overdrawn. The bound lets each GPU choose G, r and t as it likes, splits
adapters over GPUs as it likes, and takes every average at its best: loading adapters is free, chance costs nothing, all
requests of a burst come at once.

That is a linear program; any solution of its dual is a bound. In each cell of (t, G, r) a mean of the resources, with
weights of its own, is no more than 1 on any GPU. The least of these means over all cells is what an adapter takes of a
GPU wherever it is: these minimal shares add up to no more than 1 on any GPU, so that their sum is a number of GPUs.
Cells are split where they decide, and weights improved, to make the sum larger; it is valid at any time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.place.bound.demand import Demand
from advisor.recommend.server.launched import with_settings
from twin import lora_kernels
from twin.profile import Profile

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

SAMPLE = 200
"""Adapters that cells and weights are chosen for; the bound is then of all."""
ROUNDS, SPLIT = 30, 16
"""Rounds in which the cells that decide most are split, and how many at a time."""
STEPS, RATE, BLUR = 6, 0.3, 0.02
"""Of each round: steps of improving the weights, how far each goes, and how close to the least a mean has to be to
count, as a share of it."""
NEAR = 1.2
"""Times the least mean: cells further above it are let be."""
SLOTS_PER_STEP = 0.5
"""How much less a bound gains from a narrower range of slots than of the time of a step."""
RESOURCES = 7
"""Time where slots cost the least, where they cost what tokens do, and beyond the CUDA graphs; slots, KV cache, largest
batch and tokens of a step."""
PORTION = 512
"""Adapters looked at together, for the memory's sake."""
LONGEST_S = 2.0


class Cells(NamedTuple):
    """Ranges of what a GPU can be run like, and the weights that each gives its resources; n of them."""

    edges: Floats
    """Rank, fewest and most slots, shortest and longest step, s; shape (n, 5)."""
    weights: Floats
    """By resource; shape (n, RESOURCES)."""


@dataclass(frozen=True)
class Relaxation:
    """One type of GPU, as the bound sees it."""

    profile: Profile
    fixed: Mapping[str, int | float]
    """Settings that stay, by vLLM's names."""
    longest_s: float = math.inf
    """Steps are no longer than that, s."""
    price: float = 1.0

    @cached_property
    def _launched(self) -> Profile:
        return with_settings(self.profile, self.fixed)

    def cells(self, ranks: Iterable[float]) -> Cells:
        """All that a GPU can be run like that serves adapters on slots of these ranks, in coarse cells.

        A GPU whose slots are larger than any of its adapters needs serves no more.
        """
        profile, fixed = self.profile, self.fixed
        shortest_s = (profile.step.base_ms + profile.scheduling.base_ms) / 1e3
        longest_s = max(min(LONGEST_S, self.longest_s), 1.5 * shortest_s)
        times = [*np.geomspace(shortest_s, longest_s, 11), *([math.inf] if self.longest_s > longest_s else [])]
        rows = []
        for rank in [float(fixed["max_lora_rank"])] if "max_lora_rank" in fixed else sorted(set(ranks)):
            most = float(fixed.get("max_loras", self._most_slots(int(rank))))
            least = float(fixed.get("max_loras", 1.0))
            if most >= least:
                slots = np.unique(np.append(np.geomspace(least, most, 6), most)) if most > least else [most, most]
                rows += [(rank, *some, *time) for some, time in product(pairwise(slots), pairwise(times))]
        edges = np.array(rows, dtype=np.float64).reshape(-1, 5)
        return self._startable(Cells(edges, np.full((len(edges), RESOURCES), 1 / RESOURCES)))

    def _most_slots(self, rank: int) -> int:
        """With which a server starts."""
        needed = self._launched.memory.max_model_len
        low, high = 0, 1
        while self._capacity(high, rank) >= needed and high < 1 << 20:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._capacity(middle, rank) >= needed else (low, middle)
        return low

    def _capacity(self, slots: float, rank: int) -> float:
        memory = self._launched.memory
        return memory.kv_tokens_base - (memory.kv_tokens_per_slot_rank * rank + memory.kv_tokens_per_slot) * slots

    def _startable(self, cells: Cells) -> Cells:
        """Those in which a step takes no longer than it may: not even an empty one fits into the others."""
        time = 1.0 - self._empty_s(cells.edges) / cells.edges[:, 4]
        return Cells(*(each[time > 1e-9] for each in cells))

    def _empty_s(self, edges: Floats) -> Floats:
        """An empty step takes so long at least, s: slots cost the least in batches just too large to be split."""
        rank, fewest = edges[:, 0], edges[:, 1]
        step, shrink_tiles = self.profile.step, lora_kernels.shrink_tiles(lora_kernels.SPLIT_TOKENS + 1)
        slot_ms = step.per_slot_shrink_ms * lora_kernels.rank_tiles(rank) * shrink_tiles + step.per_slot_expand_ms
        return (step.base_ms + self.profile.scheduling.base_ms + slot_ms * fewest) / 1e3

    def shares(self, demand: Demand, edges: Floats) -> Floats:
        """What each adapter takes of each resource at its best in each cell; shape (adapters, cells, resources).

        Infinite in cells whose slots are too small for it.
        """
        rank, fewest, most, shortest, longest = edges.T
        step, serving = self.profile.step, self._launched.serving
        capacity = np.array([self._capacity(g, int(r)) for g, r in zip(fewest, rank, strict=True)])
        # Every token takes at least its part of a tile of each slot: in large batches more than what one tile takes.
        tiles = lora_kernels.rank_tiles(rank)
        shrink_ms = step.per_slot_shrink_ms * tiles * lora_kernels.SPLIT_LARGE / lora_kernels.SPLIT
        slot_token_ms = shrink_ms / lora_kernels.SHRINK_TOKENS + step.per_slot_expand_ms / lora_kernels.EXPAND_TOKENS
        slots_s = slot_token_ms * fewest / 1e3
        eager_s = step.per_eager_token_ms / 1e3
        time = 1.0 - self._empty_s(edges) / longest
        without_slots = 1.0 - (step.base_ms + self.profile.scheduling.base_ms) / 1e3 / longest
        beyond = without_slots + eager_s * step.graph_tokens / shortest
        in_lumps_s = eager_s * max(1.0 - step.graph_tokens / serving.max_num_batched_tokens, 0.0)
        adapter_ms = step.per_adapter_ms + step.per_adapter_expand_ms
        adapter_ms = adapter_ms + step.per_adapter_shrink_ms * tiles * lora_kernels.LARGE_WORK

        present = -np.expm1(-np.outer(demand.traffic, shortest))
        # The adapter's own time goes with how often it is in a step, which is least in the longest steps.
        per_step = -np.expm1(-np.outer(demand.traffic, np.minimum(longest, 1e9))) / longest
        busy = demand.time[:, np.newaxis] + adapter_ms / 1e3 * per_step
        column = np.newaxis
        shares = np.stack(
            [
                (busy + demand.lumps[:, column] * in_lumps_s) / time,
                (busy + demand.lumps[:, column] * in_lumps_s + demand.tokens[:, column] * slots_s) / without_slots,
                (busy + demand.tokens[:, column] * (eager_s + slots_s)) / beyond,
                present / most,
                demand.held[:, column] * shortest / capacity,
                demand.requests[:, column] * shortest / serving.max_num_seqs,
                demand.tokens[:, column] * shortest / serving.max_num_batched_tokens,
            ],
            axis=2,
        )
        shares[demand.rank[:, column] > rank] = np.inf
        return shares * self.price

    def least(self, demand: Demand, cells: Cells) -> Floats:
        """What each adapter takes of a GPU at least, in the price of one; shape (adapters,)."""
        found = np.empty(len(demand.rank))
        for start in range(0, len(found), PORTION):
            part = slice(start, start + PORTION)
            shares = self.shares(Demand(*(each[part] for each in demand)), cells.edges)
            found[part] = np.einsum("acm,cm->ac", shares, cells.weights).min(axis=1)
        return found

    def refined(self, demand: Demand, rounds: int = ROUNDS) -> Cells:
        """Cells and weights with which the least shares of all adapters add up to much."""
        cells = self.cells(demand.rank.tolist())
        if not len(cells.edges):
            return cells
        sample, weight = self._sample(demand, cells)
        shares = self.shares(sample, cells.edges)
        cells = cells._replace(weights=_start(shares, weight))
        best, most = cells, -1.0
        for left in range(rounds, -1, -1):
            means = np.einsum("acm,cm->ac", shares, cells.weights)
            least = means.min(axis=1, keepdims=True)
            if (total := float(weight @ least[:, 0])) > most:
                best, most = Cells(cells.edges, cells.weights.copy()), total
            # The others are too far above the least to decide of any adapter.
            near = np.flatnonzero((means / least).min(axis=0) < NEAR)
            mine, weights = shares[:, near], cells.weights[near]
            scarcity = _scarcity(mine)
            for _ in range(STEPS):
                weights = _pulled(scarcity, weights, _pull(mine, weights, weight))
            cells.weights[near] = weights
            if left == 0:
                break
            deciding = near[np.argsort(-_pull(mine, weights, weight).sum(axis=0), kind="stable")[:SPLIT]]
            halves = self._startable(_halved(cells, deciding))
            kept = np.delete(np.arange(len(cells.edges)), deciding)
            shares = np.concatenate([shares[:, kept], self.shares(sample, halves.edges)], axis=1)
            cells = Cells(*(np.concatenate([old[kept], new]) for old, new in zip(cells, halves, strict=True)))
        return best

    def _sample(self, demand: Demand, cells: Cells) -> tuple[Demand, Floats]:
        """Some adapters, those that take more of a GPU more likely, and how many each stands for."""
        count = len(demand.rank)
        if count <= SAMPLE:
            return demand, np.ones(count)
        shares = self.least(demand, cells)
        order = np.lexsort((demand.time, demand.rank))
        taken = shares[order] + shares.mean() * 0.1
        ends = np.cumsum(taken) / taken.sum()
        where, times = np.unique(np.searchsorted(ends, (np.arange(SAMPLE) + 0.5) / SAMPLE), return_counts=True)
        return Demand(*(each[order[where]] for each in demand)), times * taken.sum() / SAMPLE / taken[where]


def without_slots(profile: Profile) -> Profile:
    """The same where slots cost no time: a step without an adapter's request leaves them out."""
    free = {"per_slot_shrink_ms": 0.0, "per_slot_expand_ms": 0.0}
    return profile.model_copy(update={"step": profile.step.model_copy(update=free)})


def _start(shares: Floats, weight: Floats) -> Floats:
    """Weights to start from: nearly all on the resource of each cell that all adapters together overdraw most."""
    finite = np.where(np.isfinite(shares), shares, 0.0)
    scarce = np.einsum("acm,a->cm", finite, weight).argmax(axis=1)
    weights = np.full(shares.shape[1:], 0.1 / shares.shape[2])
    weights[np.arange(len(weights)), scarce] += 0.9
    return weights


def _pull(shares: Floats, weights: Floats, weight: Floats) -> Floats:
    """How much each cell decides of each adapter's least mean share; shape (adapters, cells)."""
    means = np.einsum("acm,cm->ac", shares, weights)
    least = means.min(axis=1, keepdims=True)
    near = np.exp(-(means - least) / (BLUR * least))
    return np.asarray(weight[:, np.newaxis] * least * near / near.sum(axis=1, keepdims=True))


def _scarcity(shares: Floats) -> Floats:
    """Each resource over that which is the scarcest for an adapter in a cell; shape (adapters, cells, resources)."""
    finite = np.where(np.isfinite(shares), shares, 0.0)
    return finite / np.maximum(finite.max(axis=2, keepdims=True), 1e-300)


def _pulled(scarcity: Floats, weights: Floats, pull: Floats) -> Floats:
    """Weights moved to the resources that are scarce for those adapters that a cell decides for."""
    slope = np.einsum("acm,ac->cm", scarcity, pull)
    largest = np.maximum(slope.max(axis=1, keepdims=True), 1e-300)
    moved = weights * np.exp(RATE * slope / largest)
    return moved / moved.sum(axis=1, keepdims=True)


def _halved(cells: Cells, which: Positions) -> Cells:
    """These cells halved, where they are widest: in the time of a step or, if that is narrow, in the slots."""
    rows: list[tuple[float, ...]] = []
    for rank, fewest, most, shortest, longest in cells.edges[which].tolist():
        if math.isinf(longest):
            rows += [(rank, fewest, most, shortest, 2 * shortest), (rank, fewest, most, 2 * shortest, longest)]
        elif math.log(longest / shortest) > SLOTS_PER_STEP * math.log(most / fewest):
            middle = math.sqrt(longest * shortest)
            rows += [(rank, fewest, most, shortest, middle), (rank, fewest, most, middle, longest)]
        else:
            middle = math.sqrt(fewest * most)
            rows += [(rank, fewest, middle, shortest, longest), (rank, middle, most, shortest, longest)]
    return Cells(np.array(rows), np.repeat(cells.weights[which], 2, axis=0))
