"""AD5: what cannot be known."""

from advisor.check.rules.doubt import given_twice, other_version, unknown

JUDGING = (unknown, given_twice, other_version)
"""Its rules, in the order of their codes."""
