"""The twins beside recorded decisions: do they decide as vLLM did, in every step?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from calibrate.recording.recordings import Arrivals, Limits, Recording, Recordings, steps
from twin.behaviour import Behaviour, behaviour_of
from twin.engine.latency import StepCost
from twin.engine.reference import stepwise
from twin.engine.reference.decisions import Decisions
from twin.engine.reference.server import Server
from twin.engine.scheduler.state import Demand, SchedulerConfig, new_scheduler

COST = StepCost(base_ms=1, per_request_ms=0, per_prefill_token_ms=0, per_adapter_ms=0, per_scanned_ms=0)
"""Any: what is decided does not depend on it, for arrivals are given by step."""


class FastTwin:
    """The compiled scheduler."""

    def __init__(self, settings: SchedulerConfig, demand: Demand, blocks: int) -> None:
        self.scheduler, self.blocks = new_scheduler(settings, demand, blocks), blocks

    def add(self, request: int) -> None:
        """A request arrives."""
        stepwise.add(self.scheduler, request)

    def busy(self) -> bool:
        """Whether any request is not finished."""
        return stepwise.busy(self.scheduler)

    def step(self) -> Decisions:
        """One step."""
        return stepwise.step(self.scheduler, self.blocks)


class ReferenceTwin:
    """The one written for reading."""

    def __init__(self, settings: SchedulerConfig, demand: Demand, blocks: int) -> None:
        self.server = Server(settings, demand, COST, blocks)

    def add(self, request: int) -> None:
        """A request arrives."""
        self.server.add(request)

    def busy(self) -> bool:
        """Whether any request is not finished."""
        return self.server.busy()

    def step(self) -> Decisions:
        """One step."""
        return self.server.step().decisions


Twin = type[FastTwin] | type[ReferenceTwin]


def behaviour_in(recordings: Recordings) -> Behaviour:
    """The behaviour that the twin knows of the recorded version, under the recorded kind of scheduling.

    Raises:
        ValueError: the version is older than any that the twin knows.
    """
    return behaviour_of(recordings.vllm).model_copy(update={"async_scheduling": recordings.async_scheduling})


def differences(recordings: Recordings, behaviour: Behaviour, twin: Twin) -> Iterator[str]:
    """Each workload of which a twin decides any step differently, with the first such step."""
    for one in recordings.recordings:
        host = twin(_config(one.limits, behaviour), _demand(one.arrivals), one.limits.blocks)
        at, ours = _first_difference(one, list(steps(host, one.arrivals)))
        if at is not None:
            yield f"{one.name}: step {at}: the twin decides {_shown(ours)}, vLLM {_shown(list(one.steps)[at : at + 1])}"


def _first_difference(one: Recording, decided: list[Decisions]) -> tuple[int | None, list[Decisions]]:
    """The first step that differs, and what was decided in it; None where none does."""
    for at in range(max(len(decided), len(one.steps))):
        if decided[at : at + 1] != list(one.steps[at : at + 1]):
            return at, decided[at : at + 1]
    return None, []


def _shown(step: list[Decisions]) -> str:
    return step[0].model_dump_json() if step else "nothing more"


def _config(limits: Limits, behaviour: Behaviour) -> SchedulerConfig:
    return SchedulerConfig(
        max_num_seqs=limits.max_num_seqs,
        max_num_batched_tokens=limits.max_num_batched_tokens,
        max_loras=limits.max_loras,
        max_cpu_loras=1000,
        block_size=limits.block_size,
        enable_prefix_caching=limits.enable_prefix_caching,
        **behaviour.model_dump(),
    )


def _demand(arrivals: Arrivals) -> Demand:
    adapters = max(*arrivals.adapter, 0) + 1
    nothing = np.zeros(adapters)
    prefix = (*arrivals.shared_prefix[:adapters], *arrivals.shared_prefix[-1:])
    return Demand(
        arrival_s=np.array(arrivals.step, dtype=np.float64),
        adapter=np.array(arrivals.adapter, dtype=np.int32),
        prompt=np.array(arrivals.prompt, dtype=np.int32),
        answer=np.array(arrivals.answer, dtype=np.int32),
        load_from_memory_ms=nothing,
        load_from_disk_ms=nothing,
        shared_prefix=np.array(prefix, dtype=np.int32),
    )
