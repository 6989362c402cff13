"""Prefix caching: which KV blocks can be found by their content, and the queue in which free blocks wait for reuse.

What `block_pool` does block by block, in runs of blocks. Of an adapter's shared prefix the blocks that can be found are
always its first ones, for what is given back together is reused last block first, and who uses a block uses all before
it. So their number says it all, and so it does for a preempted request's own blocks, which only that request can find.
All other free blocks are alike: nobody looks for them. The queue is a list of runs, each with its owner: an adapter, a
preempted request, or nobody. A request costs a few runs, however long its prompt.

Owners are numbered: the adapters, one more for requests that name none, and after them the requests.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin.engine.compiled import Record, jit
from twin.engine.scheduler.batch import NONE


class PrefixTotals(Record):
    """What the cache adds up."""

    queries: int
    """Tokens of the prompts that were admitted, but for those of preempted requests."""
    hits: int
    """Those of them whose KV was there."""
    admissions: int
    """So far."""
    runs: int
    """In the queue."""


class PrefixCache(NamedTuple):
    """Arrays over owners, adapters, seats, and runs; the last run is the head of the queue, a ring."""

    prefix: NDArray[np.int32]
    """Of each adapter, tokens that its prompts begin with."""
    known: NDArray[np.int32]
    """Of each adapter, the first blocks of its prefix that can be found; of each request, its own free ones behind
    them, or NONE if it was never preempted."""
    held: NDArray[np.int32]
    """Of each adapter, the first blocks of its prefix that running requests use."""
    holders: NDArray[np.int32]
    """Of each adapter, the running requests that use all of those,"""
    users: NDArray[np.int32]
    """and those that use any."""
    share: NDArray[np.int32]
    """Of each seat, the blocks of its adapter's prefix that it uses."""
    found: NDArray[np.int32]
    """Of each seat, the blocks that its request found when it was admitted."""
    admission: NDArray[np.int64]
    """Of each seat, when it was taken: its place in the order of admissions."""
    blocks: NDArray[np.int32]
    """Of each run."""
    owner: NDArray[np.int32]
    """Of each run; NONE: nobody looks for these blocks."""
    earlier: NDArray[np.int32]
    later: NDArray[np.int32]
    """Neighbours in the queue: earlier runs are reused first."""
    before: NDArray[np.int32]
    """Of each run, the one that its owner gave back before: blocks further back in the prefix."""
    last: NDArray[np.int32]
    """Of each owner, the run it gave back last, if it has any."""
    spare: NDArray[np.int32]
    """Runs that are not in use."""
    totals: PrefixTotals


def empty(prefix: NDArray[np.int32], requests: int, seats: int, blocks: int, *, enabled: bool) -> PrefixCache:
    """A cache with nothing in it: all blocks are in one run. Without prefix caching it takes no room."""
    owners, adapters, runs = (len(prefix) + requests, len(prefix), blocks + 2) if enabled else (0, 0, 2)
    known = np.full(owners, NONE, dtype=np.int32)
    known[:adapters] = 0
    head = runs - 1
    earlier = np.full(runs, head, dtype=np.int32)
    earlier[head] = 0
    later = earlier.copy()
    run_blocks = np.zeros(runs, dtype=np.int32)
    run_blocks[0] = blocks
    return PrefixCache(
        prefix=prefix,
        known=known,
        held=np.zeros(adapters, dtype=np.int32),
        holders=np.zeros(adapters, dtype=np.int32),
        users=np.zeros(adapters, dtype=np.int32),
        share=np.zeros(seats, dtype=np.int32),
        found=np.zeros(seats, dtype=np.int32),
        admission=np.zeros(seats, dtype=np.int64),
        blocks=run_blocks,
        owner=np.full(runs, NONE, dtype=np.int32),
        earlier=earlier,
        later=later,
        before=np.full(runs, NONE, dtype=np.int32),
        last=np.full(owners, NONE, dtype=np.int32),
        spare=np.arange(runs, dtype=np.int32),
        totals=PrefixTotals.of(runs=1),
    )


@jit
def find(cache: PrefixCache, adapter: int, request: int, shared: int) -> int:
    """Blocks of a waiting request that are there; `shared` of its blocks are its adapter's prefix."""
    found = min(shared, cache.known[adapter])
    own = cache.known[len(cache.prefix) + request]
    return found + own if found == shared and own > 0 else found


@jit
def unused(cache: PrefixCache, adapter: int, shared: int, found: int) -> int:
    """How many of the blocks found are in the queue, and thus counted as free."""
    return max(min(found, shared) - cache.held[adapter], 0) + max(found - shared, 0)


@jit
def use(cache: PrefixCache, adapter: int, request: int, shared: int, found: int) -> None:
    """Take the blocks that a request has found out of the queue."""
    wanted = min(found, shared) - cache.held[adapter]
    while wanted > 0:
        run = cache.last[adapter]
        taken = min(wanted, cache.blocks[run])
        cache.blocks[run] -= taken
        wanted -= taken
        if cache.blocks[run] == 0:
            cache.last[adapter] = cache.before[run]
            _unlink(cache, run)
    if found > shared:
        own = len(cache.prefix) + request
        _unlink(cache, cache.last[own])
        cache.known[own] = 0


@jit
def hold(cache: PrefixCache, seat: int, adapter: int, share: int) -> None:
    """The seat's request has computed or found so many blocks of its adapter's prefix: now they can be found."""
    if share == cache.share[seat]:
        return
    if cache.share[seat] == 0:
        cache.users[adapter] += 1
    cache.share[seat] = share
    if share > cache.held[adapter]:
        cache.held[adapter] = share
        cache.holders[adapter] = 1
    elif share == cache.held[adapter]:
        cache.holders[adapter] += 1
    cache.known[adapter] = max(cache.known[adapter], share)


@jit
def let_go(
    cache: PrefixCache, seat: int, adapter: int, requests: NDArray[np.int32], adapters: NDArray[np.int32]
) -> int:
    """The seat's request has done with its adapter's prefix; return how many blocks of it nobody uses any more.

    The requests of all seats, and their adapters, tell who does.
    """
    share = cache.share[seat]
    if share == 0:
        return 0
    cache.share[seat] = 0
    cache.users[adapter] -= 1
    if share < cache.held[adapter]:
        return 0
    cache.holders[adapter] -= 1
    if cache.holders[adapter] > 0:
        return 0
    held, holders = 0, 0
    if cache.users[adapter] > 0:  # rare: prompts shorter than their prefix, or computed in part
        for other in range(len(requests)):
            if cache.share[other] >= max(held, 1) and adapters[requests[other]] == adapter:
                holders = holders + 1 if cache.share[other] == held else 1
                held = cache.share[other]
    cache.held[adapter] = held
    cache.holders[adapter] = holders
    append(cache, adapter, share - held)
    return share - held


@jit
def take(cache: PrefixCache, blocks: int) -> None:
    """Reuse the first blocks of the queue: nobody finds what was in them any more."""
    while blocks > 0:
        run = cache.later[len(cache.blocks) - 1]
        taken = min(blocks, cache.blocks[run])
        cache.blocks[run] -= taken
        blocks -= taken
        if cache.owner[run] != NONE:
            cache.known[cache.owner[run]] -= taken
        if cache.blocks[run] == 0:
            _unlink(cache, run)


@jit
def append(cache: PrefixCache, owner: int, blocks: int) -> None:
    """Blocks of this owner are free, to be reused after all others."""
    tail = cache.earlier[len(cache.blocks) - 1]
    if blocks == 0:
        return
    if owner == NONE and cache.owner[tail] == NONE and tail != len(cache.blocks) - 1:
        cache.blocks[tail] += blocks
        return
    run = _link(cache, tail, blocks)
    cache.owner[run] = owner
    if owner != NONE:
        cache.before[run] = cache.last[owner]
        cache.last[owner] = run


@jit
def prepend(cache: PrefixCache, blocks: int) -> None:
    """Blocks that nobody looks for are free, to be reused before all others."""
    first = cache.later[len(cache.blocks) - 1]
    if blocks == 0:
        return
    if cache.owner[first] == NONE and first != len(cache.blocks) - 1:
        cache.blocks[first] += blocks
        return
    run = _link(cache, len(cache.blocks) - 1, blocks)
    cache.owner[run] = NONE


@jit
def _link(cache: PrefixCache, earlier: int, blocks: int) -> int:
    """A new run behind another one, or behind the head: at the front."""
    run, later = cache.spare[cache.totals.runs], cache.later[earlier]
    cache.totals.runs += 1
    cache.blocks[run] = blocks
    cache.earlier[run] = earlier
    cache.later[run] = later
    cache.later[earlier] = run
    cache.earlier[later] = run
    return run


@jit
def _unlink(cache: PrefixCache, run: int) -> None:
    earlier, later = cache.earlier[run], cache.later[run]
    cache.later[earlier] = later
    cache.earlier[later] = earlier
    cache.totals.runs -= 1
    cache.spare[cache.totals.runs] = run
