"""The KV blocks of requests: taken, found where prompts begin alike, and given back.

How many blocks are free is a number of the state; which blocks hold what others may find is for `prefix_cache`, where
that is enabled.
"""

from __future__ import annotations

from twin.engine.compiled import jit
from twin.engine.scheduler import prefix_cache
from twin.engine.scheduler.batch import NONE
from twin.engine.scheduler.state import Scheduler


@jit
def needed(scheduler: Scheduler, tokens: int) -> int:
    """KV blocks that hold so many tokens."""
    return -(-tokens // scheduler.config.block_size)


@jit
def take(scheduler: Scheduler, blocks: int) -> None:
    """Take so many of the free KV blocks."""
    scheduler.state.free_blocks -= blocks
    if scheduler.config.enable_prefix_caching:
        prefix_cache.take(scheduler.prefixes, blocks)


@jit
def _prefix_blocks(scheduler: Scheduler, request: int, adapter: int) -> int:
    """Blocks of a request that hold nothing but its adapter's prefix; the last token of a prompt is its own."""
    shared = min(scheduler.prefixes.prefix[adapter], scheduler.demand.prompt[request] - 1)
    return shared // scheduler.config.block_size


@jit
def find(scheduler: Scheduler, adapter: int, request: int) -> int:
    """Blocks of a waiting request that are there already."""
    if not scheduler.config.enable_prefix_caching:
        return 0
    return prefix_cache.find(scheduler.prefixes, adapter, request, _prefix_blocks(scheduler, request, adapter))


@jit
def unused(scheduler: Scheduler, adapter: int, request: int, found: int) -> int:
    """Those of the blocks found that nobody uses."""
    if found == 0:
        return 0
    return prefix_cache.unused(scheduler.prefixes, adapter, _prefix_blocks(scheduler, request, adapter), found)


@jit
def use(scheduler: Scheduler, seat: int, found: int) -> None:
    """The seat's request, just admitted, uses the blocks that it has found."""
    if not scheduler.config.enable_prefix_caching:
        return
    request, prefixes = scheduler.batch.request[seat], scheduler.prefixes
    adapter = scheduler.demand.adapter[request]
    prefixes.found[seat] = found
    prefixes.admission[seat] = prefixes.totals.admissions
    prefixes.totals.admissions += 1
    if prefixes.known[len(prefixes.prefix) + request] == NONE:
        prefixes.totals.queries += scheduler.demand.prompt[request]
        prefixes.totals.hits += found * scheduler.config.block_size
    scheduler.state.free_blocks -= unused(scheduler, adapter, request, found)
    prefix_cache.use(prefixes, adapter, request, _prefix_blocks(scheduler, request, adapter), found)


@jit
def hold_prefix(scheduler: Scheduler, seat: int) -> None:
    """What the seat has computed of its adapter's prefix can be found by others."""
    if scheduler.config.enable_prefix_caching:
        request = scheduler.batch.request[seat]
        adapter = scheduler.demand.adapter[request]
        computed = scheduler.batch.computed[seat] // scheduler.config.block_size
        share = min(computed, _prefix_blocks(scheduler, request, adapter))
        prefix_cache.hold(scheduler.prefixes, seat, adapter, share)


@jit
def give_back(scheduler: Scheduler, seat: int, blocks: int, full: int, preempted: int) -> int:
    """Put the seat's blocks, of which `full` are, into the queue, but for those that others use; return their number.

    The last of them are reused first.
    """
    prefixes, demand = scheduler.prefixes, scheduler.demand
    share = prefixes.share[seat]
    own = full - share
    if scheduler.config.unhashed_first:
        prefix_cache.prepend(prefixes, blocks - full)
    else:
        prefix_cache.append(prefixes, NONE, blocks - full)
    owner = NONE
    if preempted != NONE:
        owner = len(prefixes.prefix) + preempted
        prefixes.known[owner] = own
    prefix_cache.append(prefixes, owner, own)
    adapter = demand.adapter[scheduler.batch.request[seat]]
    freed = prefix_cache.let_go(prefixes, seat, adapter, scheduler.batch.request, demand.adapter)
    return blocks - share + freed
