"""What a scheduler decides in one step, request by request: the common language of twins and recordings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Decisions(BaseModel):
    """The decisions of one step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheduled: dict[int, int]
    """Of each request that takes part in the step, its tokens."""
    preempted: tuple[int, ...]
    """Requests sent back to the waiting queue, in order."""
    finished: tuple[int, ...]
    """Requests whose last token this step produces, ascending."""
    adapters: int
    """Distinct adapters in the step."""
    blocks: int
    """KV blocks in use while it runs."""
