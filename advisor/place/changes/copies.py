"""Adapters on several GPUs, on the way there: what share of their requests comes to each of these meanwhile.

A router spreads requests over the copies that it knows. As many as there are to be it knows only once all are loaded;
until then those that there were have what they had, or more than they are to keep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from advisor.place.changes.previous import Running
from advisor.place.placement import Placement
from advisor.place.steps import Place


class Copies:
    """Of the adapters that are on several GPUs in the end."""

    def __init__(self, placement: Placement, previous: Mapping[int, Running], positions: Mapping[str, int]) -> None:
        self._share = {each: share for one in placement.assignments for each, share in one.weights.items()}
        self._wanted = Counter(each for one in placement.assignments for each in one.adapters if each in self._share)
        self._before = {
            (gpu, positions[name]): running.weights.get(name, 1.0)
            for gpu, running in previous.items()
            for name in running.adapters
            if positions.get(name) in self._share
        }

    def missing(self, adapter: int, places: int) -> bool:
        """Whether an adapter that is in so many places is to be in more."""
        return places < self._wanted[adapter]

    def weights(self, gpu: Place, adapters: Iterable[int], now: Mapping[Place, Collection[int]]) -> dict[int, float]:
        """Their shares of requests on a GPU, where it has these adapters and all others have what they have `now`."""
        found = {}
        for adapter in adapters:
            if adapter in self._share:
                elsewhere = sum(adapter in there for place, there in now.items() if place != gpu)
                share, before = self._share[adapter], self._before.get((gpu, adapter), 0.0)  # type: ignore[arg-type]
                found[adapter] = max(share, before) if self.missing(adapter, elsewhere + 1) else share
        return found

    @property
    def final(self) -> Mapping[int, float]:
        """Their shares in the end."""
        return self._share

    @property
    def routed_together(self) -> tuple[int, ...]:
        """Those of which several copies are new: none is to be sent requests before the last of them is there."""
        before = Counter(adapter for _, adapter in self._before)
        return tuple(sorted(each for each, wanted in self._wanted.items() if wanted - before[each] > 1))
