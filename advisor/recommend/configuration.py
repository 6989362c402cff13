"""Flags for a given set of adapters, and what to expect of them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from advisor.features.vector import measure, measure_slots
from advisor.recommend.objective import Expectation, Objective
from advisor.recommend.recommendation import Step
from advisor.zoo.pairs import Pair
from advisor.zoo.predictor import load_predictor
from advisor.zoo.tree import load_tree
from twin.settings import Settings, slot_rank
from twin.workload import Workload

OTHER_SLOTS = (1.25, 1.6, 2.2, 3.5, 0.8, 0.6, 0.4)
"""Times the slots of the rules: what is tried where these would miss the objective."""


class DoesNotFitError(Exception):
    """Not even one slot leaves the memory a server needs to start; the message says why, with the numbers."""

    def __init__(self, message: str, trace: tuple[Step, ...]) -> None:
        super().__init__(message)
        self.trace = trace


@dataclass(frozen=True, slots=True)
class Configuration:
    """Flags for a set of adapters, what to expect, and the rules that led there."""

    settings: Settings
    expected: Expectation
    trace: tuple[Step, ...]
    values: Mapping[str, float]
    """The features of the adapters with these slots."""
    memory_bound: bool
    """Whether memory allowed fewer slots than the rules asked for."""


class Configurator:
    """Configures a server for any set of adapters of one pair under one objective."""

    def __init__(self, pair: Pair, objective: Objective, max_model_len: int | None) -> None:
        """Load the models.

        Raises:
            InputError: a shipped file is missing or altered.
        """
        self._profile, self._objective, self._max_model_len = pair.profile, objective, max_model_len
        self._slots = load_tree(pair, objective.trees, "max_loras")
        self._predict = load_predictor(pair, objective.trees)

    def configure(self, mix: Workload) -> Configuration:
        """Flags and expectation for serving all adapters of `mix`.

        The slots are those of the rules or, where these would miss the objective, the nearest that would not.

        Raises:
            DoesNotFitError: the server would not start with a single slot.
        """
        values = measure(mix, self._profile, ttft_limit_s=self._objective.ttft_limit_s)
        trace = [rank := self._slot_rank(mix)]
        slots = self._wanted_slots(values, len(mix))
        trace.append(slots)
        fitting = self._fitting_slots(int(slots.result), int(rank.result))
        if fitting is not None:
            trace.append(fitting)
            if fitting.result < 1:
                raise DoesNotFitError(f"not even one adapter slot fits in memory: {fitting.rule[0]}", tuple(trace))
        asked = int((fitting or slots).result)
        served, expected = self._expect(values, mix, settings := self._settings(mix, asked, int(rank.result)))
        if missed := self._objective.misses(expected):
            for other in self._others(asked, len(mix), most=asked if fitting else None, rank=settings.max_lora_rank):
                changed = self._settings(mix, other, settings.max_lora_rank)
                hoped_values, hoped = self._expect(values, mix, changed)
                if not self._objective.misses(hoped):
                    trace.append(Step("max_loras", (f"with {asked}: {'; '.join(missed)}",), other))
                    settings, served, expected = changed, hoped_values, hoped
                    break
        return Configuration(settings, expected, tuple(trace), served, memory_bound=fitting is not None)

    def _others(self, asked: int, adapters: int, *, most: int | None, rank: int) -> list[int]:
        """Slots to try instead, the nearest first: those that memory and the adapters leave a use for."""
        slots = {min(max(round(asked * factor), 1), adapters, most or adapters) for factor in OTHER_SLOTS}
        needed = self._max_model_len or self._profile.memory.max_model_len
        fit = {count for count in slots - {asked} if self._capacity(count, rank) >= needed}
        return sorted(fit, key=lambda count: (abs(math.log(count / asked)), count))

    def _settings(self, mix: Workload, max_loras: int, rank: int) -> Settings:
        return self._profile.settings(
            max_loras=max_loras,
            max_cpu_loras=max(len(mix), max_loras),
            max_lora_rank=rank,
            others={"max_model_len": self._max_model_len} if self._max_model_len else None,
        )

    def _slot_rank(self, mix: Workload) -> Step:
        largest = int(mix.rank.max())
        rank = slot_rank(largest)
        return Step("max_lora_rank", (f"largest rank {largest} <= {rank}, the next that vLLM accepts",), rank)

    def _wanted_slots(self, values: Mapping[str, float], adapters: int) -> Step:
        decision = self._slots(values)
        wanted = max(round(decision.value), 1)
        if wanted <= adapters:
            return Step("max_loras", decision.rule, wanted)
        return Step("max_loras", (*decision.rule, f"adapters {adapters} < {wanted} slots"), adapters)

    def _fitting_slots(self, wanted: int, rank: int) -> Step | None:
        """The memory guard: the most slots with which the server starts, where that is fewer than wanted."""
        needed = self._max_model_len or self._profile.memory.max_model_len
        if self._capacity(wanted, rank) >= needed:
            return None
        # Capacity never grows with the slots, so those that fit come first.
        fitting = bisect_right(range(1, wanted), False, key=lambda slots: self._capacity(slots, rank) < needed)
        short = fitting + 1
        rules = [
            f"max_loras {short}, rank {rank}: KV cache {self._capacity(short, rank)} tokens < max_model_len {needed}"
        ]
        if fitting:
            left = self._capacity(fitting, rank)
            rules.append(f"max_loras {fitting}, rank {rank}: KV cache {left} tokens >= max_model_len {needed}")
        return Step("max_loras", tuple(rules), fitting)

    def _capacity(self, slots: int, rank: int) -> int:
        memory = self._profile.memory
        return memory.kv_capacity_tokens(slots, rank, memory.gpu_memory_utilization)

    def _expect(
        self, values: dict[str, float], mix: Workload, settings: Settings
    ) -> tuple[dict[str, float], Expectation]:
        """The features with the slots, and what comes of them."""
        (values,) = measure_slots(values, mix, self._profile, [settings.max_loras])
        predicted = self._predict(values)
        return values, Expectation(
            throughput_tok_s=predicted.share * mix.offered_tok_s,
            share=predicted.share,
            itl_ms=predicted.itl_ms,
            ttft_ms=predicted.ttft_ms,
            kv_capacity_tokens=self._capacity(settings.max_loras, settings.max_lora_rank),
            chance=predicted.chance,
            required_chance=self._predict.required,
            itl_margin=self._predict.itl_margin,
        )
