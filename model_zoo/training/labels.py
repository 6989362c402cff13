"""What the runs of a mix say: how much load one GPU serves, and with how many slots at best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from model_zoo.campaign.runs import Objective, SimulatedRun
from model_zoo.campaign.search import Exploration, ladder, with_margin

TIE = 0.01
"""Throughputs that differ by less are equal; the inter-token latency decides."""
ALIKE = 0.05
"""Inter-token latencies that differ by less are alike; the time to first token decides. With one slot fewer steps are a
hundredth shorter, which nobody notices, and requests may wait for seconds, which everybody does."""


@dataclass(frozen=True, slots=True)
class LoadLimit:
    """Where a mix stops to meet an objective, with the best number of slots."""

    objective: Objective
    adapters: int
    """N*: the most adapters that met it; 0 where not even one did."""
    met_tok_s: float
    """Offered token rate of N* adapters."""
    missed_tok_s: float
    """Offered token rate of the fewest adapters that were one too many; infinite where all met it."""

    @property
    def token_rate(self) -> float:
        """Between the two rates, in the geometric middle; only where both are known (`bounded`)."""
        return math.sqrt(self.met_tok_s * self.missed_tok_s)

    @property
    def refused(self) -> bool:
        """Whether not even one adapter met the objective."""
        return self.adapters == 0 and math.isfinite(self.missed_tok_s)

    @property
    def bounded(self) -> bool:
        """Whether some number of adapters met the objective and some larger one did not."""
        return self.adapters > 0 and math.isfinite(self.missed_tok_s)


@dataclass(frozen=True, slots=True)
class SlotChoice:
    """The best number of slots for so many adapters of a mix."""

    objective: Objective
    adapters: int
    best: SimulatedRun


def load_limit(runs: Sequence[SimulatedRun], objective: Objective) -> LoadLimit:
    """The limit of a mix under an objective."""
    met = [run.adapters for run in runs if objective.met_by(run)]
    most = max(met, default=0)
    offered = {run.adapters: run.measures.offered_tok_s for run in runs}
    missed = min((adapters for adapters in offered if adapters > most), default=None)
    return LoadLimit(
        objective,
        adapters=most,
        met_tok_s=offered[most] if most else 0.0,
        missed_tok_s=offered[missed] if missed else math.inf,
    )


def slot_choices(explored: Exploration, objective: Objective, max_adapters: int) -> list[SlotChoice]:
    """The best slots for every number of adapters within the limit at which all numbers of slots were tried.

    Only slots that would serve a few more adapters too are considered where there are any: one slot too few starves
    requests, one too many costs little.
    """
    # A run without a single answer meets every objective and tells nothing of slots.
    good = [run for run in explored.runs if run.measures.completed and objective.met_by(run)]
    met = {(run.adapters, run.max_loras): run for run in good}
    limit, steps = load_limit(explored.runs, objective).adapters, ladder(max_adapters)
    served = sorted({adapters for adapters, _ in met})
    choices = []
    for adapters in fully_tried(explored):
        fit = {slots: met[key] for slots in explored.slots if (key := (adapters, min(slots, adapters))) in met}
        if fit:
            margin = with_margin(adapters, limit, steps)
            more = [count for count in served if count >= margin]
            safe = [run for slots, run in fit.items() if any((count, min(slots, count)) in met for count in more)]
            choices.append(SlotChoice(objective, adapters, best=best_run(safe or list(fit.values()))))
    return choices


def fully_tried(explored: Exploration) -> list[int]:
    """The numbers of adapters that were run with every number of slots."""
    tried = {(run.adapters, run.max_loras) for run in explored.runs}
    counts = sorted({adapters for adapters, _ in tried})
    return [count for count in counts if all((count, min(slots, count)) in tried for slots in explored.slots)]


def best_run(runs: Sequence[SimulatedRun]) -> SimulatedRun:
    """The highest throughput; among those within 1 % of it the lowest inter-token latency; among those alike in that,
    the shortest time to first token.
    """
    highest = max(run.measures.throughput_tok_s for run in runs)
    tied = [run for run in runs if run.measures.throughput_tok_s >= (1 - TIE) * highest]
    # An answer of one token has no inter-token latency.
    lowest = min((run.measures.itl_ms for run in tied if run.measures.itl_ms > 0), default=0.0)
    alike = [run for run in tied if not run.measures.itl_ms > (1 + ALIKE) * lowest]
    return min(alike, key=lambda run: (run.measures.ttft_ms, run.max_loras))
