"""What a file is judged against: the inventory, and what the models expect of any settings for its adapters."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from advisor.recommend.objective import Expectation, Objective

if TYPE_CHECKING:
    from advisor.inventory.inventory import Inventory
    from advisor.recommend.answer.recommendation import Recommendation
    from advisor.zoo.pair import Pair
    from twin.profile import Profile
    from twin.settings import Settings as Launch

Settings = Mapping[str, int | float]


@dataclass(frozen=True, eq=False)
class Target:
    """An inventory with its pair; what is recommended and expected is worked out once, when a rule first asks."""

    inventory: Inventory
    pair: Pair
    objective: Objective
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Adapters of a fleet -> the GPUs that they are on, where the inventory is what is on one of them."""
    limited: bool = True
    """Whether the server is for those adapters alone that one GPU serves; of other GPUs nobody knows which."""

    @cached_property
    def recommendation(self) -> Recommendation:
        """What is recommended for the inventory."""
        from advisor.recommend.recommend import recommend

        return recommend(self.inventory, self.pair, self.objective)

    @property
    def profile(self) -> Profile:
        """The constants of the pair."""
        return self.pair.profile

    @cached_property
    def unlimited(self) -> Target:
        """The same for a server on another kind of GPU than the pair's."""
        return replace(self, limited=False)

    @cached_property
    def served(self) -> Inventory:
        """The adapters that the server is for: those that are admitted, the others belong elsewhere; all if none is.

        What is written into a file is right for these, whichever rule asks: of one recommendation, not of several.
        """
        admitted = self.recommendation.admission.admitted if self.limited else ()
        return self.inventory.only(admitted) if 0 < len(admitted) < len(self.inventory) else self.inventory

    @property
    def counted(self) -> str:
        """What the rates leave open behind a reason that rests on them, where few requests tell them; else empty."""
        from advisor.recommend.answer.counted import Counted

        rates = Counted.of_few(self.inventory.counted_requests)
        return "" if rates is None else f"; {rates.told}"

    @cached_property
    def largest_rank(self) -> int:
        """Of the adapters that are served."""
        return int(self.served.workload.rank.max())

    @cached_property
    def slot_rank(self) -> int:
        """The `max_lora_rank` that is recommended, else the smallest that takes all of them."""
        from twin.settings import slot_rank

        return self._advice.max_lora_rank if self._advice else slot_rank(self.largest_rank)

    @property
    def slots(self) -> int:
        """The `max_loras` that is recommended, else one for each of them."""
        return self._advice.max_loras if self._advice else len(self.served)

    @property
    def host_slots(self) -> int:
        """The `max_cpu_loras` that is recommended, else one for each of them."""
        return self._advice.max_cpu_loras if self._advice else len(self.served)

    @property
    def _advice(self) -> Launch | None:
        return self.recommendation.settings if self.limited else None

    @cached_property
    def _expectations(self) -> dict[tuple[tuple[str, int | float], ...], Expectation | None]:
        return {}

    def expects(self, settings: Settings) -> Expectation | None:
        """What the models expect of settings that are all kept, for the adapters that are admitted; by vLLM's names.

        None where such a server does not start, or no adapter is asked.
        """
        # What the pair was measured under need not be fixed: the models know it.
        serving, memory = self.profile.serving.model_dump(), self.profile.memory.model_dump()
        changed = {name: value for name, value in settings.items() if value != (serving | memory).get(name)}
        key = tuple(sorted(changed.items()))
        if key not in self._expectations:
            self._expectations[key] = self._expect(changed)
        return self._expectations[key]

    def _expect(self, settings: Settings) -> Expectation | None:
        from advisor.recommend.choice.configuration import Configurator, DoesNotFitError
        from advisor.recommend.server.context import settle_context

        context = settle_context(self.served.mix, self.profile, {}, settings)
        if context.accepted is None:
            return None
        asked = context.accepted.rate > 0
        if not asked.any():
            return None
        mix, idle = context.accepted.take(asked.nonzero()[0]), context.accepted.rank[~asked]
        try:
            configurator = Configurator(
                self.pair,
                self.objective,
                dict(settings) | {"max_model_len": context.max_model_len},
                idle_adapters=len(idle),
                idle_rank=int(idle.max(initial=0)),
            )
            return configurator.configure(mix).expected
        except (DoesNotFitError, ValueError):
            return None

    def kv_tokens(self, slots: int, rank: int, gpu_memory_utilization: float | None) -> int:
        """Tokens that the KV cache holds with these slots."""
        memory = self.profile.memory
        return memory.kv_capacity_tokens(slots, rank, gpu_memory_utilization or memory.gpu_memory_utilization)

    def most_slots(self, wanted: int, rank: int, longest: int, gpu_memory_utilization: float | None) -> int:
        """Up to `wanted`, the slots of this rank with which the KV cache still holds a request of `longest` tokens."""
        return bisect_right(
            range(1, wanted + 1), False, key=lambda slots: self.kv_tokens(slots, rank, gpu_memory_utilization) < longest
        )

    @cached_property
    def wanted_slots(self) -> int:
        """The slots that the rules ask for, whatever memory allows."""
        return int(next((step.result for step in self.recommendation.trace if step.output == "max_loras"), 1))

    @cached_property
    def covering_len(self) -> int:
        """The max_model_len that is recommended or, where none is, one that 99.9 % of the requests fit into."""
        advice = self.recommendation.settings
        if advice and advice.max_model_len < self.profile.memory.max_model_len:
            return advice.max_model_len
        return self.needed_len

    @cached_property
    def needed_len(self) -> int:
        """A max_model_len that 99.9 % of the requests fit into, and no more than they need."""
        from advisor.recommend.server.context import covering_len

        return min(covering_len(self.inventory.mix), self.profile.memory.max_model_len)

    def refused_share(self, longest: int) -> float | None:
        """Of the requests, those that are longer; None where they are so few that nobody minds."""
        from advisor.recommend.server.context import TOLERATED, refused_share

        if longest not in self._refused:
            self._refused[longest] = refused_share(self.inventory.mix, longest)
        share = self._refused[longest]
        return share if share > TOLERATED else None

    @cached_property
    def _refused(self) -> dict[int, float]:
        return {}
