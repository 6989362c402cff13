"""What vLLM versions do differently: named options, and which version has which.

The tests hold both twins to decisions recorded from each version of the table, step by step.
"""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field


class Behaviour(BaseModel):
    """Where the schedulers of vLLM versions differ."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheduler_reserve_full_isl: bool = Field(
        description="a waiting request is admitted only if KV blocks for its whole sequence are free, not just for its "
        "first chunk"
    )
    skipped_waiting: bool = Field(
        description="requests passed over for want of a slot move to a queue of their own, which is served before "
        "`waiting` and hence before preempted requests"
    )
    async_scheduling: bool = Field(
        description="a step is scheduled while the one before it runs: what that one finishes keeps its seat and its "
        "blocks for one step more, and what arrives during it waits for one step more"
    )
    unhashed_first: bool = Field(
        default=False,
        description="free KV blocks that are not full, whose tokens nobody can find, are reused before all others",
    )
    unscheduled_hold_slots: bool = Field(
        default=False,
        description="the adapters of all running requests count against the slots, also of those that a step schedules "
        "nothing for: with async scheduling, those whose last token is on its way",
    )


VERSIONS = {
    "0.8.5": Behaviour(scheduler_reserve_full_isl=False, skipped_waiting=False, async_scheduling=False),
    "0.24.0": Behaviour(
        scheduler_reserve_full_isl=True, skipped_waiting=True, async_scheduling=True, unhashed_first=True
    ),
    "0.32.0": Behaviour(
        scheduler_reserve_full_isl=True, skipped_waiting=False, async_scheduling=True, unhashed_first=True
    ),
    "0.33.0": Behaviour(
        scheduler_reserve_full_isl=True,
        skipped_waiting=False,
        async_scheduling=True,
        unhashed_first=True,
        unscheduled_hold_slots=True,
    ),
}
"""Versions whose decisions are recorded, as they behave by default on a GPU."""


def behaviour_of(vllm: str) -> Behaviour:
    """The behaviour of the newest recorded version that is not newer than `vllm`, such as "0.8.5" or "0.24.0+cu130".

    Release candidates and builds count as their release, and two numbers stand for the last release of their line.

    Raises:
        ValueError: not a version, or older than any recorded one.
    """
    wanted = _release(vllm)
    known = [version for version in VERSIONS if _release(version) <= wanted]
    if not known:
        raise ValueError(f"vLLM {vllm} is older than {next(iter(VERSIONS))}, the oldest version the twin knows")
    return VERSIONS[known[-1]]


def _release(version: str) -> tuple[float, ...]:
    from packaging.version import InvalidVersion, Version  # not for those who only read a profile

    try:
        numbers = Version(version).release
    except InvalidVersion:
        raise ValueError(f"'{version}' is not a version of vLLM, such as 0.8.5") from None
    return numbers if len(numbers) > 2 else (*numbers, math.inf)
