"""How many GPUs any placement needs at least."""

from __future__ import annotations

from collections.abc import Collection

from advisor.place.servers import Servers


def lower_bound(servers: Servers, placed: Collection[int]) -> int:
    """GPUs that these adapters need at least."""
    return 1 if placed and servers.problem.gpu_types else 0
