"""A placement as text: a line for each GPU, then what is on none."""

from __future__ import annotations

from advisor.inventory.inventory import Inventory
from advisor.names import listed
from advisor.place.placement import Assignment, Placement


def write(placement: Placement, inventory: Inventory) -> str:
    """The placement as lines for a terminal, without colours."""
    placed = sum(len(set(each.adapters)) for each in placement.assignments)
    bound = "optimal" if placement.optimal else f"at least {placement.lower_bound:,} are needed"
    lines = [f"{placement.gpus:,} GPUs serve {placed:,} of {len(inventory):,} adapters ({bound})"]
    lines += [_line(each) for each in placement.assignments]
    if placement.unplaced:
        names = listed([inventory.names[each] for each in placement.unplaced])
        lines.append(f"on no GPU: {names}")
        lines += [f"  {inventory.names[each]}: {why}" for each, why in list(placement.unplaced.items())[:8]]
    return "\n".join(lines)


def _line(assignment: Assignment) -> str:
    settings = assignment.settings
    return (
        f"GPU {assignment.gpu}: {len(assignment.adapters):,} adapters, {assignment.token_rate:,.0f} tokens/s, "
        f"max_loras {settings.max_loras}, max_lora_rank {settings.max_lora_rank}, "
        f"ITL {assignment.expected.itl_ms:.1f} ms, TTFT {assignment.expected.ttft_ms:.0f} ms"
    )
