"""What a GPU of a placement is filled with: its load, its slots, its KV cache."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.inventory.inventory import Inventory
from advisor.place.placement import Assignment


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Shares of what there is, on average."""

    load: float
    """Of what the GPU serves of such a mix; above 1 it is overloaded."""
    base: float
    """Of the load, the share of requests that name no adapter, by tokens."""
    busy: float
    """Slots in use: adapters with a request in flight, no more than there are slots."""
    kv: float
    """Of the KV cache, what requests in flight hold; above 1 requests wait for it."""


def occupancy(assignment: Assignment, inventory: Inventory) -> Occupancy:
    """How full a GPU is."""
    workload = assignment.served(inventory).workload
    base = 0.0 if workload.base is None else workload.base.offered_tok_s / max(workload.offered_tok_s, 1e-9)
    busy = min(assignment.active_adapters, assignment.settings.max_loras)
    kv = kv_in_use(assignment, inventory) / max(assignment.expected.kv_capacity_tokens, 1)
    return Occupancy(assignment.load, base, busy, kv)


def kv_in_use(assignment: Assignment, inventory: Inventory) -> float:
    """Tokens that requests in flight hold in the KV cache on average, by Little's law."""
    mix = assignment.served(inventory).mix.traffic
    running = mix.rate * mix.output_mean * assignment.expected.itl_ms / 1e3
    # A request holds its prompt and what it has written; long answers are seen more often.
    written = (mix.output_mean**2 + mix.output_std**2) / mix.output_mean / 2
    return float(running @ (mix.input_mean + written))
