"""What has been tried of one set of candidates: so many of them with so many slots, each for some simulated hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from advisor.exact.hours import Hour, Hours, mean
from advisor.recommend.choice.configuration import Configurator
from advisor.recommend.choice.selection import Candidates
from twin.workload import Workload

TOGETHER = 4
"""Hours that are simulated side by side once the first has held, on every machine: the answer tells which were."""


@dataclass(slots=True)
class Trials:
    """Tries any number of the candidates, the first ones of their order, with any number of slots."""

    hours: Hours
    configurator: Configurator
    candidates: Candidates
    mix: Workload
    """Of the whole inventory, the traffic that the models are asked about."""
    of: int
    """Candidates that may be admitted at most."""
    in_host: int
    """Adapters that host memory takes."""
    asked: dict[tuple[int, int], dict[int, Hour]] = field(default_factory=dict)
    """By adapters and slots, then by seed."""
    _hard: dict[int, list[int]] = field(default_factory=dict)
    """By adapters, the seeds of hours that missed anything, the last first."""

    def part(self, size: int) -> Workload:
        """So many of the candidates, for the models."""
        return self.mix.take(self.candidates.order[:size])

    def allowed(self, size: int, slots: int) -> int:
        """The number of slots nearest to this one that a server of so many adapters may have.

        Raises:
            DoesNotFitError: it would not start.
        """
        allowed = self.configurator.slots(self.part(size))
        return min(max(slots, allowed[0]), allowed[-1])

    def ask(self, size: int, slots: int, seeds: Sequence[int]) -> list[Hour]:
        """Hours with the slots that are allowed.

        Raises:
            DoesNotFitError: the server would not start.
        """
        slots = self.allowed(size, slots)
        asked = self.asked.setdefault((size, slots), {})
        if new := [seed for seed in seeds if seed not in asked]:
            hours = self.hours.simulate(
                self.candidates.first(size, self.in_host),
                self.configurator.settings(self.part(size), slots),
                new,
                order=self.hours.number(self.candidates.order),
                adapters=size,
            )
            asked.update(zip(new, hours, strict=True))
        return [asked[seed] for seed in seeds]

    def missed(self, size: int, slots: int, seeds: Sequence[int]) -> list[str]:
        """What of the objective the first of these hours misses that misses any.

        Those come first that missed it with as many adapters and other slots, for their requests are the same.
        """
        hard = self._hard.setdefault(size, [])
        ordered = [seed for seed in hard if seed in seeds] + [seed for seed in seeds if seed not in hard]
        for some in (ordered[:1], *(ordered[at : at + TOGETHER] for at in range(1, len(ordered), TOGETHER))):
            for hour in self.ask(size, slots, some):
                if hour.missed:
                    hard[:] = [hour.seed, *(seed for seed in hard if seed != hour.seed)]
                    return hour.missed
        return []

    def mean(self, size: int, slots: int, name: str, seeds: Sequence[int]) -> float:
        """Of a measure; 0 where there was nothing to measure."""
        return mean(self.ask(size, slots, seeds), name) or 0.0

    def failing(self, size: int, slots: int) -> Hour | None:
        """Of what has been asked, the first hour that misses anything."""
        return next((hour for hour in self.asked[size, slots].values() if hour.missed), None)

    def slots(self, size: int) -> list[int]:
        """With how many so many adapters have been tried, ascending."""
        return sorted(slots for adapters, slots in self.asked if adapters == size)

    def best(self, least_hours: int) -> tuple[int, int] | None:
        """The most adapters that held in so many hours and missed nothing, and their slots."""
        holding = [key for key, hours in self.asked.items() if len(hours) >= least_hours and not self.failing(*key)]
        return max(holding, key=lambda key: (key[0], len(self.asked[key])), default=None)
