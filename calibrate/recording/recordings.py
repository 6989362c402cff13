"""Recorded decisions of a vLLM scheduler, step by step: what a faithful twin must decide, too.

A file holds the recordings of one vLLM version, as compressed JSON. Arrivals are given by step, so that no clock
matters: a request arrives before the step of that number, and when nothing is left to do the steps up to the next
arrival are left out.
"""

from __future__ import annotations

import lzma
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter

from twin.engine.reference.decisions import Decisions

SHARED = 2
"""The token of prefixes, and of answers where the model is a stand-in; requests have further ones, each its own."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Data):
    """The settings of the recorded server that its scheduler goes by."""

    max_num_seqs: int
    max_num_batched_tokens: int
    max_loras: int
    block_size: int
    blocks: int
    """KV blocks that requests can have."""
    enable_prefix_caching: bool = False


class Arrivals(_Data):
    """The requests in order of arrival, as parallel lists."""

    step: tuple[int, ...]
    adapter: tuple[int, ...]
    """`twin.workload.BASE` where a request names none."""
    prompt: tuple[int, ...]
    """Tokens."""
    answer: tuple[int, ...]
    """Tokens."""
    shared_prefix: tuple[int, ...] = ()
    """Tokens that the prompts of each adapter begin with and, last, of those that name none; empty where nothing is
    shared."""

    def shared_tokens(self, request: int) -> int:
        """Tokens that the request's prompt begins with as others of its adapter do; its last one is its own."""
        return min(self.shared_prefix[self.adapter[request]], self.prompt[request] - 1) if self.shared_prefix else 0


class Recording(_Data):
    """One workload through one scheduler."""

    name: str
    limits: Limits
    arrivals: Arrivals
    steps: tuple[Decisions, ...]


class Recordings(_Data):
    """All workloads through the scheduler of one vLLM version."""

    vllm: str
    """Version."""
    engine: bool
    """Whether a whole engine ran, or the scheduler alone with a stand-in for the model."""
    async_scheduling: bool
    """Whether a step was scheduled while the one before it was still running."""
    command: str
    """The command that made the file."""
    recordings: tuple[Recording, ...]


Step_co = TypeVar("Step_co", covariant=True)


class Host(Protocol[Step_co]):
    """Something that schedules, step by step: a vLLM engine or a twin."""

    def add(self, request: int) -> None:
        """A request arrives."""

    def busy(self) -> bool:
        """Whether any request is not finished."""

    def step(self) -> Step_co:
        """Schedule, run, update."""


def steps(host: Host[Step_co], arrivals: Arrivals) -> Iterator[Step_co]:
    """Take every step that the requests need."""
    coming, clock = deque(enumerate(arrivals.step)), 0
    while coming or host.busy():
        if not host.busy():
            clock = max(clock, coming[0][1])
        while coming and coming[0][1] <= clock:
            host.add(coming.popleft()[0])
        yield host.step()
        clock += 1


def prompt(arrivals: Arrivals, request: int) -> list[int]:
    """Tokens of a request's prompt: all prefixes are alike, whose blocks adapters still do not share."""
    shared = arrivals.shared_tokens(request)
    return [SHARED] * shared + [SHARED + 1 + request] * (arrivals.prompt[request] - shared)


_FILE = TypeAdapter(Recordings)


def read(path: Path) -> Recordings:
    """The recordings of a file."""
    return _FILE.validate_json(lzma.decompress(path.read_bytes()))


def encode(recordings: Recordings) -> bytes:
    """The file of these recordings; the same recordings give the same bytes."""
    return lzma.compress(_FILE.dump_json(recordings), preset=9 | lzma.PRESET_EXTREME)
