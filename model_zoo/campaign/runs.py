"""Runs of the twin: one simulated time of serving the first N adapters of a mix with G adapter slots."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple

import numpy as np

from advisor.features.estimate import Estimate, estimate
from advisor.features.served_mix import ServedMix
from model_zoo.campaign.grid import TYPICAL, Recipe
from twin.engine import simulation as twin
from twin.engine.simulation import LoraWork, Measures
from twin.profile import Profile
from twin.service_level import TTFT_LIMIT_S, Limit, steady
from twin.settings import Settings, slot_rank
from twin.workload import Requests, Workload, draw


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """A configuration that was simulated, and what came of it."""

    adapters: int
    """Served adapters N."""
    max_loras: int
    """Adapter slots G."""
    measures: Measures

    @property
    def served_share(self) -> float:
        """Completed requests / arrived ones; 1 where none arrived.

        It is throughput / offered token rate without the chance in how many tokens happened to arrive: in an hour of
        thousands of requests the two agree, in one of ten the latter says nothing.
        """
        accepted = self.measures.arrivals - self.measures.refused
        return self.measures.completed / accepted if accepted else 1.0

    @property
    def starved(self) -> bool:
        """Whether less than 90 % was served while others waited, or the server did not even start."""
        return self.measures.oom or self.measures.starved

    def to_json(self) -> list[Any]:
        """The run as plain lists and numbers."""
        return [self.adapters, self.max_loras, asdict(self.measures)]

    @staticmethod
    def from_json(fields: list[Any]) -> SimulatedRun:
        """The inverse of `to_json`."""
        adapters, max_loras, measures = fields
        work = LoraWork(**measures["lora_work"])
        return SimulatedRun(adapters, max_loras, Measures(**{**measures, "lora_work": work}))


ObjectiveName = Literal["steady", "published"]


class Objective(NamedTuple):
    """What a configuration has to achieve: an objective by its name, and the limits."""

    name: ObjectiveName
    ttft_limit_s: float
    """Mean TTFT allowed, s; `published` has no limit and carries the default."""
    itl_limit_s: float = math.inf
    """Mean ITL allowed, s: what `latency` asks for beyond steadiness."""

    def met_by(self, run: SimulatedRun) -> bool:
        """Whether the run started, did not starve and, for `steady`, kept the limits."""
        if self.name == "published":
            return not run.starved
        kept = steady(starved=run.starved, ttft_ms=run.measures.ttft_ms, ttft_limit=Limit(self.ttft_limit_s))
        return kept and not run.measures.itl_ms > 1e3 * self.itl_limit_s


STEADY = Objective("steady", TTFT_LIMIT_S)
"""The default objective."""
PUBLISHED = Objective("published", TTFT_LIMIT_S)
TIGHTER_S, LAXER_S = (0.5, 1.0), (5.0, 10.0, 30.0)
"""TTFT limits below and above the default one."""
OBJECTIVES = (*(Objective("steady", limit) for limit in (*TIGHTER_S, TTFT_LIMIT_S, *LAXER_S)), PUBLISHED)

OBJECTIVE_NAMES: tuple[ObjectiveName, ...] = ("steady", "published")

MOST_SLOTS = 4096
"""More slots are never looked for."""
MOST_ARRIVALS = 100_000
"""Of a run: where more would come in an hour, it is cut short, for by then chance has evened out."""

Simulate = Callable[..., Measures]


def objectives_named(name: ObjectiveName) -> list[Objective]:
    """All with this name."""
    return [objective for objective in OBJECTIVES if objective.name == name]


def searched(recipe: Recipe) -> list[Objective]:
    """The objectives whose limits a mix is searched for: the defaults, a tighter one and a laxer one, in turn.

    Models learn more from twice as many mixes than from twice as many limits of each.
    """
    tighter, laxer = (limits[recipe.number % len(limits)] for limits in (TIGHTER_S, LAXER_S))
    return [each for each in OBJECTIVES if each == PUBLISHED or each.ttft_limit_s in (tighter, TTFT_LIMIT_S, laxer)]


class Simulator:
    """Serves one mix on servers of all sizes, each configuration once."""

    def __init__(
        self, profile: Profile, recipe: Recipe, *, duration_s: float, seed: int, simulate: Simulate | None = None
    ) -> None:
        """By the twin, unless something else is to `simulate`."""
        self.profile, self.recipe = profile, recipe
        self._simulate = simulate or partial(twin.simulate, draw=self._draw)
        self._duration_s = duration_s
        # A seed for each mix: what chance does to one would otherwise be done to all.
        self._seed = int(np.random.SeedSequence([seed, recipe.number]).generate_state(1)[0])
        self._runs: dict[tuple[int, int], SimulatedRun] = {}
        self._drawn: dict[int, Requests] = {}

    @property
    def runs(self) -> list[SimulatedRun]:
        """Everything run so far, by adapters and slots."""
        return [self._runs[key] for key in sorted(self._runs)]

    @cached_property
    def estimated_limit(self) -> float:
        """The most adapters of the mix in equilibrium: about what base traffic leaves of the most without."""
        return self._estimate.max_adapters * (1 - self.recipe.base_share)

    @property
    def estimated_slots(self) -> float:
        """The slots that make steps shortest at that limit."""
        return self._estimate.serving(self._estimate.max_adapters).slots

    @cached_property
    def _estimate(self) -> Estimate:
        alone = replace(self.recipe.adapters(TYPICAL), base=None)
        return estimate(ServedMix(alone, self.profile))

    def run(self, adapters: int, max_loras: int) -> SimulatedRun:
        """Serve `adapters` of the mix with `max_loras` slots, or a slot each where that is fewer."""
        max_loras = min(max_loras, adapters)
        key = (adapters, max_loras)
        if key not in self._runs:
            mix = self.recipe.adapters(adapters)
            settings = serving_settings(self.profile, adapters, max_loras, max_rank=float(mix.rank.max()))
            measures = self._simulate(
                self.profile,
                replace(settings, enable_prefix_caching=mix.shared_prefix is not None),
                mix,
                duration_s=min(self._duration_s, MOST_ARRIVALS / float(mix.traffic.rate.sum())),
                seed=self._seed,
            )
            self._runs[key] = SimulatedRun(adapters, max_loras, measures)
        return self._runs[key]

    def _draw(self, mix: Workload, duration_s: float, seed: int) -> Requests:
        """The requests of so many adapters, drawn once: they are the same whatever the slots."""
        if len(mix) not in self._drawn:
            self._drawn[len(mix)] = draw(mix, duration_s, seed)
        return self._drawn[len(mix)]


def serving_settings(profile: Profile, adapters: int, max_loras: int, max_rank: float) -> Settings:
    """The server for that many adapters and slots with the settings the pair was measured under."""
    return profile.settings(
        max_loras=max_loras, max_cpu_loras=max(adapters, max_loras), max_lora_rank=slot_rank(max_rank)
    )


def starts(profile: Profile, max_loras: int, max_rank: float) -> bool:
    """Whether the KV cache that the slots leave holds one request of the longest length."""
    settings = serving_settings(profile, max_loras, max_loras, max_rank)
    tokens = profile.memory.kv_capacity_tokens(max_loras, settings.max_lora_rank, settings.gpu_memory_utilization)
    return tokens >= settings.max_model_len


def most_slots(profile: Profile, max_rank: float) -> int:
    """The most slots with which a server starts; 0 where it does not start with one."""
    return bisect_left(range(1, MOST_SLOTS + 1), True, key=lambda slots: not starts(profile, slots, max_rank))
