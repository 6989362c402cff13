"""How many GPUs any placement needs at least."""

from advisor.place.bound.demand import demand_of
from advisor.place.bound.lower import least_base, least_shares, lower_bound
from advisor.place.bound.relaxation import Relaxation

__all__ = ["Relaxation", "demand_of", "least_base", "least_shares", "lower_bound"]
