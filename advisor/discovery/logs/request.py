"""Requests that were made; several records may tell of one: its begin and its end, or each piece of its answer."""

from __future__ import annotations

from typing import Any, NamedTuple

_APART_S = 3600.0
"""Records so far apart tell of two requests, whatever they are called."""


class Request(NamedTuple):
    """A request as a log has it."""

    time_s: float
    """Seconds, since 1970 or since the log's own beginning."""
    name: str
    """Whom it asks; empty for the base model."""
    input: int | None
    """Tokens, where the log tells."""
    output: int | None
    text: str | None
    """What it says, where the log holds it."""


class Requests:
    """Requests in the order in which they were first told of, one for each identity."""

    def __init__(self) -> None:
        self._made = list[Request | None]()
        self._at = dict[int, int]()
        self.repeated = 0
        """Records that told of a request that was known already."""

    def add(self, request: Request, identity: Any) -> None:
        """A request; of one that is known, what is new: the earliest time, and the greatest lengths."""
        known = self._known(identity)
        if known is None or not _may_be_one(known[1], request):
            if _tells(identity):
                self._at[hash(identity)] = len(self._made)
            self._made.append(request)
        else:
            at, before = known
            self.repeated += 1
            self._made[at] = Request(
                min(before.time_s, request.time_s),
                before.name or request.name,
                _greatest(before.input, request.input),
                _greatest(before.output, request.output),
                before.text or request.text,
            )

    def fail(self, identity: Any) -> None:
        """A request failed: what was told of it before is none."""
        if known := self._known(identity):
            self._made[known[0]] = None
            del self._at[hash(identity)]

    def all(self) -> list[Request]:
        """Those that did not fail."""
        return [each for each in self._made if each is not None]

    def _known(self, identity: Any) -> tuple[int, Request] | None:
        at = self._at.get(hash(identity)) if _tells(identity) else None
        request = None if at is None else self._made[at]
        return None if at is None or request is None else (at, request)


def _may_be_one(one: Request, other: Request) -> bool:
    named = {one.name, other.name} - {""}
    return len(named) < 2 and abs(one.time_s - other.time_s) < _APART_S


def _tells(identity: Any) -> bool:
    return isinstance(identity, str | int) and not isinstance(identity, bool) and len(str(identity)) > 1


def _greatest(one: int | None, other: int | None) -> int | None:
    return max(filter(None, (one, other)), default=None)
