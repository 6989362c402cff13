"""Why a number of the answer is what it is: the reasons of its steps, with the inventory's own values in them.

`str` of a reason is its line in the complete trace; the report writes sentences for people from the same values.
"""

from __future__ import annotations

from dataclasses import dataclass

from advisor.zoo.tree import Met, Product


@dataclass(frozen=True, slots=True)
class Quotient:
    """So many adapters bring the load that one GPU serves."""

    load_limit: float
    """Tokens/s that one GPU serves."""
    base: float
    """Tokens/s of requests that name no adapter."""
    each: float
    """Tokens/s of one adapter, on average."""

    @property
    def adapters(self) -> float:
        """Not a whole number."""
        return (self.load_limit - self.base) / self.each

    def __str__(self) -> str:
        load = f"load_limit {self.load_limit:.1f}"
        left = f"({load} - base traffic {self.base:.1f})" if self.base else load
        return f"{left} / token_rate_mean {self.each:.3f} = {self.adapters:.2f}"


@dataclass(frozen=True, slots=True)
class Missed:
    """With so many (adapters or slots) the objective would be missed."""

    count: int
    misses: tuple[str, ...]
    """Each with its numbers."""

    def __str__(self) -> str:
        return f"with {self.count}: {'; '.join(self.misses)}"


@dataclass(frozen=True, slots=True)
class Kept:
    """With so many adapters the objective is met."""

    count: int

    def __str__(self) -> str:
        return f"with {self.count}: objective met"


@dataclass(frozen=True, slots=True)
class Asked:
    """So many adapters ask to be served."""

    of: int
    which: str
    """Of which adapters: those "in the inventory"."""
    limit: int
    """The admission limit."""

    def __str__(self) -> str:
        return f"adapters {self.which} {self.of} {'<=' if self.of <= self.limit else '>'} admission_limit {self.limit}"


@dataclass(frozen=True, slots=True)
class Fixed:
    """The inventory says so."""

    def __str__(self) -> str:
        return "fixed in the inventory"


@dataclass(frozen=True, slots=True)
class NextRank:
    """The smallest rank of slots that takes the largest adapter."""

    largest: int
    rank: int

    def __str__(self) -> str:
        return f"largest rank {self.largest} <= {self.rank}, the next that vLLM accepts"


@dataclass(frozen=True, slots=True)
class FewerAdapters:
    """There are fewer adapters than slots were wanted."""

    adapters: int
    wanted: int

    def __str__(self) -> str:
        return f"adapters {self.adapters} < {self.wanted} slots"


@dataclass(frozen=True, slots=True)
class Waits:
    """How many requests would wait for one of so many slots, if there were more of them."""

    slots: int
    share: float
    """Of the requests."""
    growth: float = 0.0
    """So many times the traffic; 0 where the reason before has said it."""

    def __str__(self) -> str:
        if not self.growth:
            return f"slots {self.slots}: {self.share:.0%}"
        traffic = f"with {self.growth:g} times the traffic"
        return f"slots {self.slots}: {traffic} {self.share:.0%} of the requests would wait for one"


@dataclass(frozen=True, slots=True)
class Shorter:
    """With fewer slots steps are shorter, and the objective is as likely."""

    more: int
    """Slots of the rules."""
    more_itl_ms: float
    itl_ms: float

    def __str__(self) -> str:
        return f"ITL {self.itl_ms:.2f} ms, with {self.more} slots {self.more_itl_ms:.2f} ms"


@dataclass(frozen=True, slots=True)
class SlotsMemory:
    """What so many slots leave of the KV cache, and whether the server starts with it."""

    slots: int
    rank: int
    kv_tokens: int
    max_model_len: int

    def __str__(self) -> str:
        sign = "<" if self.kv_tokens < self.max_model_len else ">="
        kv_cache = f"KV cache {self.kv_tokens} tokens {sign} max_model_len {self.max_model_len}"
        return f"max_loras {self.slots}, rank {self.rank}: {kv_cache}"


@dataclass(frozen=True, slots=True)
class Held:
    """So many adapters with so many slots met the objective in simulated hours."""

    adapters: int
    slots: int
    hours: int
    itl_ms: float
    """Mean ITL in these."""

    def __str__(self) -> str:
        hours = f"{self.hours:,} simulated hour{'' if self.hours == 1 else 's'}"
        return f"with {self.adapters:,} and {self.slots:,} slots: objective met in {hours}, ITL {self.itl_ms:.2f} ms"


@dataclass(frozen=True, slots=True)
class Failed:
    """So many adapters with so many slots missed the objective in a simulated hour."""

    adapters: int
    slots: int
    seed: int
    """Of the requests of that hour."""
    misses: tuple[str, ...]
    """Each with its numbers."""

    def __str__(self) -> str:
        return f"with {self.adapters:,} and {self.slots:,} slots, seed {self.seed}: {'; '.join(self.misses)}"


Reason = (
    Met
    | Product
    | Quotient
    | Missed
    | Kept
    | Asked
    | Fixed
    | NextRank
    | FewerAdapters
    | Waits
    | Shorter
    | SlotsMemory
    | Held
    | Failed
    | str
)
"""A reason of a step; a plain text is one that there is nothing more to say of."""
