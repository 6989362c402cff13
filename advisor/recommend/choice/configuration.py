"""Settings for a given set of adapters, and what to expect of them."""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from advisor.features.vector import Measured
from advisor.recommend.answer.reasons import FewerAdapters, Fixed, Missed, NextRank, Shorter, SlotsMemory
from advisor.recommend.answer.recommendation import Step
from advisor.recommend.choice.simultaneous import MARGIN, beside_others
from advisor.recommend.choice.spare_slots import FEW, WAITING, spare_slots, uneven, waiting
from advisor.recommend.load import Load
from advisor.recommend.objective import Expectation, Objective
from advisor.recommend.server.context import longest_beside
from advisor.recommend.server.kernel_reach import largest_side, most_slots
from advisor.recommend.server.launched import with_settings
from advisor.recommend.server.room import crowded
from advisor.together import Crowd, alone
from advisor.zoo.pair import Pair
from advisor.zoo.predictor import load_predictor
from advisor.zoo.tree import load_tree
from twin.service_level import STARVED_BELOW
from twin.settings import Settings, slot_rank
from twin.workload import Workload

OTHER_SLOTS = (1.25, 1.6, 2.2, 3.5, 0.8, 0.7, 0.6, 0.4)
"""Times the slots of the rules: what is tried where these would miss the objective."""
FEWER_SLOTS = (0.85, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Times the slots of the rules: what is tried where these meet the objective."""
AS_LIKELY, SHORTER, SPREADS = 0.005, 0.002, 3.0
"""Fewer slots are taken where the objective is less likely by no more than the first, steps are shorter by the second
at least, and adapters in flight fill them no more often than a normal distribution exceeds its mean by the third."""
HOUR_S = 3600.0
"""The models are of hours."""
IDLE = 0.05
"""At no more than such a share of its load a server lets hardly anyone wait for another."""
SELDOM = 0.05
"""Requests/s of an adapter that is asked seldom: of more adapters than the models know, one GPU serves no more each."""


class DoesNotFitError(Exception):
    """Not even one slot leaves the memory a server needs to start; the message says why, with the numbers."""

    def __init__(self, message: str, trace: tuple[Step, ...]) -> None:
        super().__init__(message)
        self.trace = trace


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings for a set of adapters, what to expect, and the rules that led there."""

    settings: Settings
    expected: Expectation
    trace: tuple[Step, ...]
    values: Mapping[str, float]
    """The features of the adapters with these slots."""
    memory_bound: bool
    """Whether memory allowed fewer slots than the rules asked for, and somewhat more traffic would have requests wait
    for one."""


class Configurator:
    """Configures a server for any set of adapters of one pair under one objective."""

    def __init__(
        self,
        pair: Pair,
        objective: Objective,
        fixed: Mapping[str, int | float] | None = None,
        *,
        idle_adapters: int = 0,
        idle_rank: int = 0,
        host_slots: int | None = None,
        together: Callable[[int], Crowd] = alone,
        longest: int = 0,
    ) -> None:
        """Load the models.

        Settings that are `fixed` stay as they are. Beside the adapters that are asked there may be idle ones, which
        take room in host memory, and slots of their rank. Host memory holds no more than `host_slots` adapters, where
        that is given. Adapters are asked `together`, at the same moment, who of them hangs on how many are
        served. Where the slots leave room for sequences of more than `max_model_len` tokens, the server is launched for
        them, up to the `longest` that is wanted.

        Raises:
            InputError: a shipped file is missing or altered.
        """
        self.pair, self.objective = pair, objective
        self._fixed = dict(fixed or {})
        self.profile = with_settings(pair.profile, self._fixed)
        self._max_model_len = self.profile.memory.max_model_len
        self._idle_adapters, self._idle_rank = idle_adapters, idle_rank
        self._crowds, self._longest = together, longest
        self._host_slots = sys.maxsize if host_slots is None else host_slots
        self._side = largest_side(pair)
        self._longest_prompt = pair.models.manifest.range["input_mean"][1]
        self._slots = load_tree(pair.models, objective.trees, "max_loras")
        self._predict = load_predictor(pair.models, objective.trees)

    def measure(self, mix: Workload) -> Measured:
        """The features of a mix on this server."""
        return Measured(mix, self.profile, self.objective.ttft_limit_s, int(self._slot_rank(mix).result))

    def configure(self, mix: Workload, measured: Measured | None = None) -> Configuration:
        """Settings and expectation for serving all adapters of `mix`, each of which is asked at times.

        Its features are `measured` where that has been done already. The slots are
        those of the rules or, where these would miss the objective, of some others the likeliest not to.

        Raises:
            DoesNotFitError: the server would not start with a single slot, or not with the settings that are fixed.
        """
        if bursts_unknown(mix, self.pair):
            mix, measured = replace(mix, cv=np.where(mix.rate <= SELDOM, np.minimum(mix.cv, 1.0), mix.cv)), None
        measured = measured or self.measure(mix)
        values = measured.values
        trace = [rank := self._slot_rank(mix)]
        trace += self._wanted_slots(measured, mix, int(rank.result))
        trace += self._within_reach(trace, int(rank.result))
        fitting = self._within_memory(int(trace[-1].result), int(rank.result), trace)
        asked = int(trace[-1].result)
        ((_, served, expected),) = self._expect(measured, mix, [asked], int(rank.result))
        slots, first = asked, expected
        if missed := self.objective.misses(expected):
            others = self._others(asked, len(mix), int(rank.result))
            tried = list(self._expect(measured, mix, others, int(rank.result)))
            met = [each for each in tried if not self.objective.misses(each[2])]
            # The likeliest, as those were that the required chance was found with; of those that miss it, too.
            slots, served, expected = max(met or [(asked, served, expected), *tried], key=lambda each: each[2].chance)
            if slots != asked:
                trace.append(Step("max_loras", (Missed(asked, tuple(missed)),), slots))
        else:
            for fewer, with_fewer, hoped in self._expect(measured, mix, self._fewer(asked, values), int(rank.result)):
                as_likely = hoped.chance >= max(expected.chance - AS_LIKELY, hoped.required_chance)
                if as_likely and hoped.itl_ms < (1 - SHORTER) * expected.itl_ms and not self.objective.misses(hoped):
                    slots, served, expected = fewer, with_fewer, hoped
            if slots < asked:
                trace.append(Step("max_loras", (Shorter(asked, first.itl_ms, expected.itl_ms),), slots))
        settings = self._settings(mix, slots, int(rank.result))
        scarce = fitting is not None and slots >= fitting.result and waiting(served, mix, slots) > WAITING
        return Configuration(settings, expected, tuple(trace), served, memory_bound=scarce)

    def expect(self, mix: Workload, max_loras: int) -> Expectation:
        """What to expect of all adapters of `mix` with so many slots, or with one for each where there are fewer.

        Raises:
            DoesNotFitError: the server would not start with so many.
        """
        rank = int(self._slot_rank(mix).result)
        if (fitting := self._fitting_slots(max_loras, rank)) is not None:
            raise DoesNotFitError(fitting.rule[0], (fitting,))
        ((_, _, expected),) = self._expect(self.measure(mix), mix, [min(max_loras, len(mix))], rank)
        return replace(expected, kv_capacity_tokens=self._capacity(max_loras, rank))

    def slots(self, mix: Workload) -> range:
        """The numbers of slots that a server for all adapters of `mix` may have.

        No more than there is memory for, and one for each of those that are asked at the same moment.

        Raises:
            DoesNotFitError: as `configure`.
        """
        most = min(len(mix), int(self._fixed.get("max_cpu_loras", self._host_slots)))
        most, trace = int(self._fixed.get("max_loras", most)), [self._slot_rank(mix)]
        most = min(most, self._reached(int(trace[0].result)))
        fitting = self._within_memory(most, int(trace[0].result), trace)
        most = most if fitting is None else int(fitting.result)
        return range(most if "max_loras" in self._fixed else min(self._crowds(len(mix)).size, most), most + 1)

    def settings(self, mix: Workload, max_loras: int) -> Settings:
        """The settings of a server for all adapters of `mix` with so many slots."""
        return self._settings(mix, max_loras, int(self._slot_rank(mix).result))

    def _others(self, asked: int, adapters: int, rank: int) -> list[int]:
        """Slots to try instead, the nearest first: those that memory and the adapters leave a use for."""
        if "max_loras" in self._fixed:
            return []
        most = min(adapters, int(self._fixed.get("max_cpu_loras", self._host_slots)), self._reached(rank))
        slots = {min(max(round(asked * factor), 1), most) for factor in OTHER_SLOTS}
        fit = {count for count in slots - {asked} if self._capacity(count, rank) >= self._max_model_len}
        return sorted(fit, key=lambda count: (abs(math.log(count / asked)), count))

    def _fewer(self, asked: int, values: Mapping[str, float]) -> list[int]:
        """Fewer slots than the rules', which rather have too many than too few, but no fewer than chance fills."""
        if "max_loras" in self._fixed or self.objective.trees != "steady" or uneven(values):
            return []
        active = values["active_adapters"]
        least = max(active + SPREADS * math.sqrt(active), FEW, self._crowds(int(values["adapters"])).size)
        return [slots for slots in (round(asked * share) for share in FEWER_SLOTS) if least <= slots < asked]

    def _settings(self, mix: Workload, max_loras: int, rank: int) -> Settings:
        others = {name: value for name, value in self._fixed.items() if "lora" not in name}
        held = max(min(len(mix) + self._idle_adapters, self._host_slots), max_loras)
        in_host = int(self._fixed.get("max_cpu_loras", held))
        settings = self.pair.profile.settings(
            max_loras=max_loras, max_cpu_loras=in_host, max_lora_rank=rank, others=others
        )
        longest = longest_beside(self._capacity(max_loras, rank), settings.max_model_len, self._longest)
        return replace(settings, max_model_len=longest)

    def _slot_rank(self, mix: Workload) -> Step:
        if "max_lora_rank" in self._fixed:
            return Step("max_lora_rank", (Fixed(),), int(self._fixed["max_lora_rank"]))
        largest = max(int(mix.rank.max()), self._idle_rank)
        rank = slot_rank(largest)
        return Step("max_lora_rank", (NextRank(largest, rank),), rank)

    def _wanted_slots(self, measured: Measured, mix: Workload, rank: int) -> Iterator[Step]:
        if "max_loras" in self._fixed:
            yield Step("max_loras", (Fixed(),), int(self._fixed["max_loras"]))
            return
        most = min(len(mix), int(self._fixed.get("max_cpu_loras", self._host_slots)))
        decision = self._slots(measured.values)
        wanted = max(round(decision.value), 1)
        if wanted > most:
            yield Step("max_loras", (*decision.reasons, FewerAdapters(most, wanted)), most)
            return
        yield Step("max_loras", decision.reasons, wanted)
        size = self._crowds(len(mix)).size
        if size > 1 and (seated := min(wanted + size - 1, most)) > wanted:
            yield Step("max_loras", (f"{size} adapters are asked at the same moment, a slot each",), seated)
        elif self.objective.trees == "steady" and (wanted <= FEW or uneven(measured.values)):
            slots = range(wanted, most + 1)
            yield from spare_slots(measured, mix, slots, lambda each: self._capacity(each, rank), self._max_model_len)

    def _within_reach(self, trace: Sequence[Step], rank: int) -> Iterator[Step]:
        """Fewer slots where vLLM's kernels do not reach as many of this rank.

        Raises:
            DoesNotFitError: more are fixed.
        """
        wanted, reached = int(trace[-1].result), self._reached(rank)
        if wanted <= reached:
            return
        why = f"vLLM's LoRA kernels reach {reached:,} slots of rank {rank}, for they count in 32 bits"
        if "max_loras" in self._fixed:
            raise DoesNotFitError(f"the fixed max_loras is {wanted:,}, but {why}", tuple(trace))
        yield Step("max_loras", (why,), reached)

    def _reached(self, rank: int) -> int:
        """The most slots of a rank that kernels reach, as far as the model's shape is known."""
        return sys.maxsize if self._side is None else most_slots(self._side, rank)

    def _within_memory(self, wanted: int, rank: int, trace: list[Step]) -> Step | None:
        """The memory guard, which adds to the trace where it allows fewer slots than wanted.

        Raises:
            DoesNotFitError: it allows not even one, or fewer than are fixed.
        """
        if (fitting := self._fitting_slots(wanted, rank)) is not None:
            trace.append(fitting)
            if fitting.result < 1:
                why = fitting.rule[0]
                if self._capacity(1, rank) <= 0:
                    utilization = self.profile.memory.gpu_memory_utilization
                    why = f"gpu_memory_utilization {utilization:g} leaves nothing for a KV cache"
                raise DoesNotFitError(f"not even one adapter slot fits in memory: {why}", tuple(trace))
            if "max_loras" in self._fixed:
                raise DoesNotFitError(f"the fixed max_loras does not fit in memory: {fitting.rule[0]}", tuple(trace))
        return fitting

    def _fitting_slots(self, wanted: int, rank: int) -> Step | None:
        """The memory guard: the most slots with which the server starts, where that is fewer than wanted."""
        needed = self._max_model_len
        if self._capacity(wanted, rank) >= needed:
            return None
        # Capacity never grows with the slots, so those that fit come first.
        fitting = bisect_right(range(1, wanted), False, key=lambda slots: self._capacity(slots, rank) < needed)
        short = fitting + 1
        tried = (short, fitting) if fitting else (short,)
        memory = tuple(SlotsMemory(slots, rank, self._capacity(slots, rank), needed) for slots in tried)
        return Step("max_loras", memory, fitting)

    def _capacity(self, slots: int, rank: int) -> int:
        memory = self.profile.memory
        return memory.kv_capacity_tokens(slots, rank, memory.gpu_memory_utilization)

    def _expect(
        self, measured: Measured, mix: Workload, slots: Sequence[int], rank: int
    ) -> Iterator[tuple[int, dict[str, float], Expectation]]:
        """Of these numbers of slots, one after the other: the features with them, and what comes of them."""
        for count, with_slots in zip(slots, measured.with_slots(slots), strict=True):
            expected = self._expectation(with_slots, mix, self._settings(mix, count, rank))
            yield count, with_slots, expected

    def _expectation(self, values: Mapping[str, float], mix: Workload, settings: Settings) -> Expectation:
        predicted, required = self._predict(values), self._predict.required
        load = Load(self.profile, settings, values, predicted.itl_ms, predicted.ttft_ms)
        crowd, margins = self._crowds(len(mix)), self._predict.margins
        predicted = beside_others(predicted, load, crowd)
        if crowd.size > 1:
            margins = {**margins, "ttft_ms": max(margins.get("ttft_ms", 1.0), MARGIN)}
        kv_capacity_tokens = self._capacity(settings.max_loras, settings.max_lora_rank)
        chance = predicted.chance
        if chance < required and values["load_share"] <= IDLE and values["input_mean"] > self._longest_prompt:
            chance = max(chance, _idle_chance(values))
        share = predicted.share
        if chance >= required:
            # What keeps up serves all that comes but what is in flight when the hour ends (Little's law); the predictor
            # of the share has seen too few servers of a few busy adapters to know.
            answer_s = (predicted.ttft_ms + values["output_mean"] * predicted.itl_ms) / 1e3
            steady_share = 1.0 - answer_s / HOUR_S if self.objective.trees == "steady" else STARVED_BELOW
            share = max(share, steady_share, STARVED_BELOW)
        return Expectation(
            throughput_tok_s=share * values["token_rate"],
            share=share,
            itl_ms=predicted.itl_ms,
            ttft_ms=predicted.ttft_ms,
            kv_capacity_tokens=kv_capacity_tokens,
            chance=chance,
            required_chance=required,
            percentiles=predicted.percentiles,
            margins=margins,
            shortages=crowded(values, kv_capacity_tokens) if self.objective.trees == "steady" else (),
            one_token=bool((mix.traffic.output_mean[mix.traffic.rate > 0] <= 1.0).all()),
        )


def _idle_chance(values: Mapping[str, float]) -> float:
    """How likely the mean TTFT of an hour is within the limit where everyone waits for the own prompt alone.

    For prompts longer than the models were shown: the mean of so many, which vary by so much, is normally distributed.
    """
    deviation = values["input_spread"] / math.sqrt(values["rate"] * HOUR_S)
    beyond = 1e3 * values["ttft_limit"] / values["first_token_time"] - 1.0
    return 0.5 * (1.0 + math.erf(beyond / max(deviation, 1e-6) / math.sqrt(2.0)))


def bursts_unknown(mix: Workload, pair: Pair) -> bool:
    """Whether there are bursty adapters that are asked seldom, in a mix of more adapters than the models were shown.

    Their requests are then taken as Poisson arrivals. Of an adapter that is asked once in an hour a burst takes
    minutes, and holds a slot all the while. What that costs the models learned of as many adapters as they saw. Poisson
    arrivals keep more adapters in flight than any bursts of as many requests do, so that the answer errs to the safe
    side.
    """
    return len(mix) > pair.models.manifest.max_adapters and bool(((mix.cv > 1) & (mix.rate <= SELDOM)).any())
