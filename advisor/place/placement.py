"""The answer: which adapters are on which GPU, under which settings, and what to expect of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from advisor.inventory.inventory import Inventory
from advisor.place.problem import BaseGpus, GpuType
from advisor.place.steps import Changes
from advisor.recommend.answer.counted import Counted
from advisor.recommend.answer.recommendation import Step
from advisor.recommend.objective import Expectation
from advisor.recommend.server.host_memory import HostMemory
from twin.settings import Settings, arguments


@dataclass(frozen=True, slots=True)
class Group:
    """Adapters that share a GPU, before it has settings."""

    adapters: tuple[int, ...]
    """Positions in the inventory, ascending."""
    gpu_type: int = 0
    """Position in the problem's `gpu_types`."""
    weights: Mapping[int, float] = field(default_factory=dict)
    """Of adapters that are on other GPUs too: the share of their requests that comes here; of all others it is 1."""
    max_loras: int | None = None
    """Adapter slots, where the algorithm chooses them itself."""
    base: float | None = None
    """Of requests that name no adapter, the share that comes here; None: as much as to every GPU."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One GPU: its adapters, its settings, and what its models expect."""

    gpu: int
    """Number of the GPU, from 0."""
    gpu_type: GpuType
    adapters: tuple[int, ...]
    """Positions in the inventory, ascending."""
    settings: Settings
    """What its server is launched with."""
    flags: Mapping[str, int | float]
    """Those of the settings that have to be passed on, by vLLM's names."""
    expected: Expectation
    """With the traffic as the inventory gives it, without headroom."""
    missed: tuple[str, ...] = ()
    """The conditions of the objective that the expectation fails, each with its numbers; empty where it is kept."""
    weights: Mapping[int, float] = field(default_factory=dict)
    """Of adapters that are on other GPUs too: the share of their requests that comes here; of all others it is 1."""
    request_rate: float = 0.0
    """Requests/s that come here."""
    token_rate: float = 0.0
    """Offered tokens/s that come here."""
    load: float = 0.0
    """Offered token rate over the most that one GPU serves of this mix in equilibrium, by the pair's Profile."""
    active_adapters: float = 0.0
    """Adapters with a request in flight on average, estimated."""
    trace: tuple[Step, ...] = ()
    """The rules behind the settings."""
    verified: Mapping[str, Any] | None = None
    """What the digital twin measured, the worst of its seeds, where it was asked."""
    standby: tuple[int, ...] = ()
    """Adapters that it takes over when their GPU fails: positions in the inventory, ascending."""
    base: float = 0.0
    """Of requests that name no adapter, the share that comes here."""
    host_memory: HostMemory | None = None
    """What its server takes of the memory of the host, where it is known what adapters weigh."""
    base_standby: bool = False
    """Whether it takes over such requests when a GPU fails that they come to."""

    @property
    def holds(self) -> bool:
        """Whether it keeps the objective, by the models and, where asked, the twin."""
        return not self.missed and not (self.verified is not None and self.verified["missed"])

    def served(self, inventory: Inventory) -> Inventory:
        """Its adapters, with the share of their requests that comes here, and of those that name none."""
        found = inventory.take(np.array(self.adapters, dtype=np.int64))
        weights = np.array([self.weights.get(adapter, 1.0) for adapter in self.adapters])
        base = found.workload.base
        here = None if base is None or not self.base else replace(base, rate=base.rate * self.base)
        return replace(found, workload=replace(found.workload, rate=found.workload.rate * weights, base=here))

    @property
    def args(self) -> list[str]:
        """Arguments of `vllm serve`."""
        return arguments(self.launched_with)

    @property
    def launched_with(self) -> dict[str, int | float | str]:
        """The flags, and those that tell how the pair is run."""
        return {**self.flags, **self.gpu_type.pair.flags}

    def figures(self) -> dict[str, Any]:
        """The expectation as plain data."""
        return {
            "throughput_tok_s": round(self.expected.throughput_tok_s, 1),
            **({} if self.expected.one_token else {"itl_ms": round(self.expected.itl_ms, 2)}),
            "ttft_ms": round(self.expected.ttft_ms, 1),
            "steady": not self.missed,
            "starved": self.expected.starved,
            "kv_capacity_tokens": self.expected.kv_capacity_tokens,
        }


@dataclass(frozen=True, slots=True)
class Placement:
    """Every adapter on a GPU, or the reason why it is on none."""

    assignments: tuple[Assignment, ...]
    """By number of the GPU."""
    unplaced: Mapping[int, str]
    """Positions of adapters that are on no GPU -> why, in words."""
    lower_bound: int
    """So many GPUs at least serve what was placed, whatever the placement (see `bound`)."""
    algorithm: str
    """Name of the algorithm that found it."""
    seed: int = 0
    base: BaseGpus | None = None
    """Where requests go that name no adapter, if there are any that are served."""
    base_refused: str | None = None
    """Why they are served by none, where there are some."""
    changes: Changes | None = None
    """From the placement before, where there was one."""
    with_more: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Of the fullest GPUs, by number: what they would miss with a tenth more traffic, where the fewest are sought."""
    unused: Mapping[str, str] = field(default_factory=dict)
    """Types of GPU that nothing is on -> why, in words."""
    unprotected: tuple[int, ...] = ()
    """GPUs that nothing stands by for, where any one may fail."""
    interrupted: bool = False
    """Whether it was stopped before it was done: the best that had been found by then."""
    warnings: tuple[str, ...] = ()
    counted: Counted | None = None
    """What the rates rest on, where the inventory says that they were counted."""

    @property
    def gpus(self) -> int:
        """GPUs that are used."""
        return len(self.assignments)

    @property
    def unit(self) -> str:
        """What is counted as a GPU, as sentences call it; see `Problem`."""
        return self.assignments[0].gpu_type.pair.basis.unit if self.assignments else "GPU"

    @property
    def standby(self) -> dict[int, int]:
        """Adapters -> number of the GPU that takes them over when theirs fails, where that was asked for."""
        return {adapter: each.gpu for each in self.assignments for adapter in each.standby}

    @property
    def optimal(self) -> bool:
        """Whether it serves all, keeps the objective, and no placement of the same adapters needs fewer GPUs."""
        held = self._all_served and not any(each.missed for each in self.assignments)
        return held and self.gpus <= self.lower_bound

    @property
    def price(self) -> float:
        """Of all GPUs together."""
        return sum(each.gpu_type.price for each in self.assignments)

    @property
    def holds(self) -> bool:
        """Whether everyone is placed and every GPU keeps the objective, by the models and, where asked, the twin."""
        return self._all_served and all(each.holds for each in self.assignments)

    @property
    def _all_served(self) -> bool:
        return not self.unplaced and self.base_refused is None

    def document(self, inventory: Inventory) -> dict[str, Any]:
        """The answer as plain data: the documented keys of the JSON format."""
        return {
            "gpus": self.gpus,
            "price": round(self.price, 6),
            "lower_bound": self.lower_bound,
            "optimal": self.optimal,
            "algorithm": self.algorithm,
            "seed": self.seed,
            **({"interrupted": True} if self.interrupted else {}),
            **({} if self.counted is None else {"counted": self.counted.document()}),
            "assignments": [_document(each, inventory) for each in self.assignments],
            **({"with_a_tenth_more": self._with_more()} if self.with_more else {}),
            **({"unused": self._unused()} if self.unused else {}),
            **({"base": self.base.value} if self.base is not None else {}),
            "unplaced": [
                *({"name": inventory.names[adapter], "reason": reason} for adapter, reason in self.unplaced.items()),
                *([{"name": inventory.model, "reason": self.base_refused}] if self.base_refused is not None else []),
            ],
            **({"changes": self.changes.document(inventory)} if self.changes is not None else {}),
            "warnings": list(self.warnings),
        }

    def _with_more(self) -> list[dict[str, Any]]:
        return [{"gpu": gpu, "missed": list(missed)} for gpu, missed in self.with_more.items()]

    def _unused(self) -> list[dict[str, str]]:
        return [{"gpu_type": name, "reason": reason} for name, reason in self.unused.items()]


def _document(assignment: Assignment, inventory: Inventory) -> dict[str, Any]:
    weights = {inventory.names[adapter]: round(weight, 6) for adapter, weight in assignment.weights.items()}
    return {
        "gpu": assignment.gpu,
        "pair": assignment.gpu_type.pair.name,
        "gpu_type": assignment.gpu_type.pair.gpu,
        "adapters": [inventory.names[adapter] for adapter in assignment.adapters],
        **({"weights": weights} if weights else {}),
        **({"standby": [inventory.names[adapter] for adapter in assignment.standby]} if assignment.standby else {}),
        **({"base": round(assignment.base, 6)} if assignment.base else {}),
        **({"base_standby": True} if assignment.base_standby else {}),
        "flags": assignment.launched_with,
        "args": assignment.args,
        "request_rate": round(assignment.request_rate, 6),
        "token_rate": round(assignment.token_rate, 3),
        "load": round(assignment.load, 4),
        "expected": assignment.figures(),
        **({} if assignment.host_memory is None else {"host_memory": assignment.host_memory.document()}),
        **({"missed": list(assignment.missed)} if assignment.missed else {}),
        **({"verified": dict(assignment.verified)} if assignment.verified is not None else {}),
    }
