"""Hours of a server that the digital twin simulates, for any of an inventory's adapters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from advisor.inventory.inventory import Inventory
from advisor.recommend.choice.order import Positions
from advisor.recommend.objective import Objective
from advisor.simulation import DURATION_S, Simulation, engine
from advisor.zoo.pair import Pair
from twin.settings import Settings

LONGEST_S = 86_400.0
"""Phases that follow each other are simulated from the first to the last, but for no longer than a day."""


@dataclass(frozen=True, slots=True)
class Hour:
    """What a server did in so many simulated seconds, mostly an hour."""

    order: int
    """Which order of admission its adapters are the first of, by its number among those of `Hours`."""
    adapters: int
    """Those of them that are asked at times; idle ones are there as well."""
    max_loras: int
    seed: int
    """Of the requests."""
    measures: Mapping[str, Any]
    """As `advisor.simulation` has them."""

    @property
    def missed(self) -> list[str]:
        """What of the objective is missed, each with its numbers."""
        return list(self.measures["missed"])

    def document(self) -> dict[str, Any]:
        """The hour as plain data."""
        told = ("throughput_tok_s", "ttft_ms", "itl_ms")
        return {
            "order": self.order,
            "adapters": self.adapters,
            "max_loras": self.max_loras,
            "seed": self.seed,
            **{name: self.measures[name] for name in told if self.measures[name] is not None},
            "missed": self.missed,
        }


@dataclass(slots=True)
class Hours:
    """Asks the digital twin, each thing once."""

    inventory: Inventory
    pair: Pair
    objective: Objective
    duration_s: float
    """How long each is, s."""
    threads: Executor
    """Does the simulating."""
    told: Callable[[str], None]
    """Is told what is being simulated."""
    orders: list[Positions] = field(default_factory=list)
    """Of admission."""
    chosen: int = 0
    """The number of the one that was chosen in the end."""
    interrupted: bool = False
    """Whether no more is to be asked."""
    _known: dict[tuple[bytes, Settings, int], Hour] = field(default_factory=dict)

    @classmethod
    def of(
        cls, inventory: Inventory, pair: Pair, objective: Objective, threads: Executor, told: Callable[[str], None]
    ) -> Hours:
        """Hours of an inventory, so long that every phase comes, or from its busiest day on if that is longer.

        Raises:
            InputError: the twin is not installed.
        """
        engine()
        cycle_s = sum(phase.duration_s for phase in inventory.workload.phases)
        duration_s = min(max(cycle_s, DURATION_S), LONGEST_S)
        inventory = replace(inventory, workload=inventory.workload.from_busiest(duration_s))
        return cls(inventory, pair, objective, duration_s, threads, told)

    def __iter__(self) -> Iterator[Hour]:
        """All that were simulated, as they were."""
        return iter(self._known.values())

    def number(self, order: Positions) -> int:
        """That of an order of admission."""
        for number, known in enumerate(self.orders):
            if np.array_equal(known, order):
                return number
        self.orders.append(order)
        return len(self.orders) - 1

    def simulate(
        self, members: Positions, settings: Settings, seeds: Sequence[int], *, order: int, adapters: int
    ) -> list[Hour]:
        """Hours of these members, among them the first so many adapters of an order, one for every seed of requests.

        They are simulated side by side, as compiled code leaves Python to other threads.

        Raises:
            InputError: the traffic is too much to simulate.
        """
        keys = [(members.tobytes(), settings, seed) for seed in seeds]
        new = [key for key in keys if key not in self._known]
        if new:
            self.told(f"{len(self._known):,} hours simulated; {adapters:,} adapters, {settings.max_loras:,} slots")
            name, basis, profile = self.pair.name, self.pair.basis, self.pair.profile
            server = Simulation(name, basis, self.inventory.take(members), profile, settings)
            measure = partial(server.measure, duration_s=self.duration_s, objective=self.objective)
            measures = self.threads.map(lambda key: measure(seed=key[-1]), new)
            for key, found in zip(new, measures, strict=True):
                self._known[key] = Hour(order, adapters, settings.max_loras, key[-1], found)
        return [self._known[key] for key in keys]


def mean(hours: Iterable[Hour], name: str) -> float | None:
    """The mean of a measure over those hours in which there was something to measure; None where there was none."""
    found = [hour.measures[name] for hour in hours if hour.measures[name] is not None]
    return sum(found) / len(found) if found else None
