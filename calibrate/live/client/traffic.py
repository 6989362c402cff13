"""What to send to a server, and when."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.errors import CalibrationError
from twin import workload


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to ask for."""

    at_s: float
    """When it arrives, seconds since the start; counts in an open loop only."""
    adapter: str | None
    """The name the server knows the adapter by; None asks the base model."""
    prompt_tokens: int
    answer_tokens: int

    def __post_init__(self) -> None:
        if not 0 <= self.at_s < math.inf:
            raise CalibrationError(f"{self}: at_s: 0 or more seconds wanted")
        if min(self.prompt_tokens, self.answer_tokens) < 1:
            raise CalibrationError(f"{self}: prompt and answer have at least one token each")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests and the way they are sent."""

    requests: tuple[Request, ...]
    in_flight: int | None = None
    """None: an open loop, each request goes out at its `at_s` however late the answers to others are.
    Else a closed loop: in this order, the next as soon as fewer than so many are under way.
    """

    def __post_init__(self) -> None:
        if not self.requests:
            raise CalibrationError("traffic: at least one request wanted")
        if self.in_flight is not None and self.in_flight < 1:
            raise CalibrationError(f"traffic: in_flight: 1 or more wanted, not {self.in_flight}")
        times = [request.at_s for request in self.requests]
        if self.in_flight is None and times != sorted(times):
            raise CalibrationError("traffic: the requests of an open loop go in order of at_s")

    @property
    def at_once(self) -> int:
        """Requests that are under way from the start, at least; counted in connections."""
        if self.in_flight is not None:
            return min(self.in_flight, len(self.requests))
        return sum(request.at_s == 0 for request in self.requests)

    def __len__(self) -> int:
        return len(self.requests)

    def __iter__(self) -> Iterator[Request]:
        return iter(self.requests)


def open_loop(drawn: workload.Requests, adapters: Sequence[str | None]) -> Traffic:
    """Requests of the twin (`twin.workload.draw`) for a real server.

    Args:
        drawn: requests in order of arrival.
        adapters: by index into the workload, what the server calls the adapter.

    Raises:
        CalibrationError: an adapter without a name, or no requests.
    """
    if len(drawn) and drawn.adapter.max() >= len(adapters):
        raise CalibrationError(f"traffic: adapter {drawn.adapter.max()} has no name; {len(adapters)} are named")
    columns = (drawn.arrival.tolist(), drawn.adapter.tolist(), drawn.input.tolist(), drawn.output.tolist())
    return Traffic(
        tuple(Request(at, adapters[who], prompt, answer) for at, who, prompt, answer in zip(*columns, strict=True))
    )


def full_batch(
    count: int,
    prompt_tokens: int,
    answer_tokens: int,
    *,
    adapters: Sequence[str | None] = (None,),
    in_flight: int | None = None,
    seed: int = 0,
) -> Traffic:
    """`count` requests of one size that keep a server full: all at once, or `in_flight` at a time.

    Each asks for one of `adapters` at random, as those behind adapter_overhead.csv; the same seed asks for the same.
    """
    who = np.random.default_rng(seed).integers(len(adapters), size=count)
    return Traffic(
        tuple(Request(0.0, adapters[i], prompt_tokens, answer_tokens) for i in who.tolist()), in_flight=in_flight
    )
