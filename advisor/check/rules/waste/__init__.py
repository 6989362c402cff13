"""AD3: what wastes memory or time."""

from advisor.check.rules.waste import long_context, rank_above_need, slots_above_adapters, slots_above_use

JUDGING = (rank_above_need, slots_above_adapters, slots_above_use, long_context)
"""Its rules, in the order of their codes."""
