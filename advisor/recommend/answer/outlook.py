"""What binds and what would help, as part of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Resource = Literal[
    "nothing",
    "compute",
    "kv_cache",
    "adapter_slots",
    "slot_rank",
    "host_memory",
    "max_num_seqs",
    "max_num_batched_tokens",
    "certainty",
    "ttft_limit",
    "itl_limit",
]
"""What can bind; `certainty` is that of the models, `slot_rank` the size that all slots have for the largest rank."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """Who is being answered or waits for that at any moment, on average, and what share of what there is that takes."""

    requests: float
    adapters: float
    """Adapters with a request in flight."""
    shares: Mapping[Resource, float]
    """By what there is a limit of: what they would take if they could, over what there is. Only means, around which
    chance adds some. Above 1 all of it is in use, and requests wait."""
    slot_each: bool = False
    """Whether every adapter has a slot, so that none waits for one, however many are in use."""

    @property
    def used(self) -> dict[Resource, float]:
        """The shares in use, 1 at most: nobody holds more than there is."""
        return {name: min(share, 1.0) for name, share in self.shares.items()}


@dataclass(frozen=True, slots=True)
class Binding:
    """What keeps one GPU from serving more of a mix, and how far away that is."""

    what: Resource
    """What runs out first as adapters are added."""
    adapters: int
    """The most of this mix that one GPU serves."""
    at_least: bool
    """Whether nobody looked for more."""
    admitted: int
    """Adapters that are asked among those admitted."""
    load: float
    """Their tokens/s over those of the most: 1 where the limit is reached."""
    beyond: int
    """Adapters that are too many; 0 where nobody looked so far, or where it is not for the objective."""
    missed: tuple[str, ...]
    """What so many would miss of it."""
    in_flight: InFlight
    """Of the admitted adapters."""
    at_limit: InFlight
    """Of the most."""
    slot_tokens: float
    """Tokens of KV cache that a slot takes."""
    unsure_up_to: int | None = None
    """Where the models are too unsure to recommend more: adapters up to which they rather hold that the objective is
    kept."""

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "what": self.what,
            "adapters": self.adapters,
            "at_least": self.at_least,
            "load": round(self.load, 4),
            **({"beyond": self.beyond, "missed": list(self.missed)} if self.beyond else {}),
            **({} if self.unsure_up_to is None else {"unsure_up_to": self.unsure_up_to}),
            "in_flight": {
                "requests": round(self.in_flight.requests, 1),
                "adapters": round(self.in_flight.adapters, 1),
                **{name: round(share, 4) for name, share in self.in_flight.used.items()},
            },
            "at_limit": {name: round(share, 4) for name, share in self.at_limit.used.items()},
        }


@dataclass(frozen=True, slots=True)
class Lever:
    """Something that could be otherwise, and what that would change; the models were asked."""

    change: str
    """In words: "a TTFT limit of 3 s instead of 2 s"."""
    adapters: int | None = None
    """Adapters that one GPU would serve of this mix, or of the inventory where it does not serve all; None where that
    stays as it is."""
    more: int = 0
    """By so many more."""
    itl_ms: float | None = None
    """Mean ITL of the admitted adapters; None where that stays as it is."""
    max_loras: int | None = None
    """Slots, where memory leaves room for more of them."""
    everyone: bool = False
    """Whether these are all adapters of the inventory."""
    note: str = ""
    """What one has to know."""

    def document(self) -> dict[str, Any]:
        """As plain data, without what stays as it is."""
        itl_ms = None if self.itl_ms is None else round(self.itl_ms, 2)
        told = {
            "change": self.change,
            "adapters": self.adapters,
            "more_adapters": self.more or None,
            "itl_ms": itl_ms,
            "max_loras": self.max_loras,
            "note": self.note or None,
        }
        return {name: value for name, value in told.items() if value is not None}
