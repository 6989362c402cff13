"""AD2: what will starve, or be refused."""

from advisor.check.rules.starvation import host_slots, limit, long_requests, slots

JUDGING = (slots, limit, host_slots, long_requests)
"""Its rules, in the order of their codes."""
