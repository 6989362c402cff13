"""From an earlier placement to another one: few moves, in an order in which no GPU is ever overloaded.

A server that runs keeps its flags, so its GPU is judged under these at every step. Where they do not serve what is to
come, it is started anew with others: beside the old one on a spare GPU, or with a pause.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from advisor.place.changes.copies import Copies
from advisor.place.changes.keeping import same_type
from advisor.place.changes.previous import Running
from advisor.place.judge.running import missed_under
from advisor.place.judge.servers import Servers
from advisor.place.placement import Group, Placement
from advisor.place.steps import SPARE, Changes, Place, Step


@dataclass(slots=True)
class _State:
    """A GPU on the way."""

    adapters: set[int]
    fixed: dict[str, int | float] | None
    """The flags of its server; None where it is to be started anew, with what suits it."""
    gpu_type: int = 0
    base: float = 0.0
    """Of requests that name no adapter, the share that comes here."""


def plan(
    servers: Servers, placement: Placement, previous: Mapping[int, Running], positions: Mapping[str, int]
) -> Changes:
    """What has to be done, step by step; after each of them every GPU keeps the objective, headroom included.

    But for those that do not keep it before: they only ever get less. Where GPUs wait for each other, adapters take a
    detour over another GPU that has room, then over a spare one, and where even that one is full they pause.
    """
    return _Planner(servers, placement, previous, positions).changes()


class _Planner:
    def __init__(
        self, servers: Servers, placement: Placement, previous: Mapping[int, Running], positions: Mapping[str, int]
    ) -> None:
        self._servers, self._previous, self._positions = servers, previous, positions
        self._new = {each.gpu: each for each in placement.assignments}
        types = {id(each): number for number, each in enumerate(servers.problem.gpu_types)}
        self._type = {gpu: types[id(each.gpu_type)] for gpu, each in self._new.items()}
        by_pair = {each.pair.name: number for number, each in enumerate(servers.problem.gpu_types)}
        self._now: dict[Place, _State] = {}
        for gpu, running in previous.items():
            there = {positions[name] for name in running.adapters if name in positions}
            gpu_type = by_pair.get(running.pair or "", self._type.get(gpu, 0))
            self._now[gpu] = _State(there, dict(running.flags), gpu_type, running.base)
        self._copies = Copies(placement, previous, positions)
        self._steps: list[Step] = []
        self._detours: list[int] = []
        self._paused: list[int] = []
        self._forced: list[int] = []
        self._judged: dict[tuple[Any, ...], bool] = {}

    def changes(self) -> Changes:
        old = {gpu: set(state.adapters) for gpu, state in self._now.items()}
        new = {gpu: set(each.adapters) for gpu, each in self._new.items()}
        before, after = _where(old), _where(new)
        overloaded = tuple(gpu for gpu in self._previous if not self._held(gpu))
        self._remove(after)
        started = sorted(self._new.keys() - self._previous.keys())
        for gpu in started:
            self._steps.append(Step("start", gpu))
            self._now[gpu] = _State(set(), self._final_flags(gpu), self._type[gpu])
        self._route(started)
        restarted = [gpu for gpu in self._new if gpu in self._previous and not self._suits(gpu)]
        self._move(new, set(restarted))
        self._route(sorted(self._new.keys() & self._previous.keys()))
        gone = sorted(self._previous.keys() - self._new.keys())
        for gpu in (*sorted(self._new), *gone):
            if gpu in self._previous and self._previous[gpu].base and not self._share(gpu):
                self._steps.append(Step("unroute", gpu))
        self._steps += [Step("stop", gpu) for gpu in (*gone, *self._now.keys() & {SPARE})]
        everyone = before.keys() | after.keys()
        names = self._servers.problem.inventory.names
        unknown = [name for each in self._previous.values() for name in each.adapters if name not in self._positions]
        return Changes(
            steps=tuple(self._steps),
            kept=sum(before.get(each) == after.get(each) for each in everyone),
            moved=tuple(sorted(each for each in before.keys() & after.keys() if before[each] != after[each])),
            added=tuple(sorted(after.keys() - before.keys())),
            removed=(*(names[each] for each in sorted(before.keys() - after.keys())), *dict.fromkeys(unknown)),
            restarted=tuple(sorted(restarted)),
            paused=tuple(self._paused),
            detours=tuple(self._detours),
            overloaded=overloaded,
            forced=tuple(dict.fromkeys(self._forced)),
            routed_together=self._copies.routed_together,
        )

    def _held(self, gpu: int) -> bool:
        """Whether a GPU keeps the objective before the first step, with the shares of requests that come to it then."""
        state, shares = self._now[gpu], self._previous[gpu].weights
        weights = {self._positions[name]: share for name, share in shares.items() if name in self._positions}
        return self._judge(Group(tuple(sorted(state.adapters)), state.gpu_type, weights, base=state.base), state.fixed)

    def _remove(self, after: Mapping[int, set[Place]]) -> None:
        """First what only makes room."""
        for gpu, running in self._previous.items():
            for name in running.adapters:
                adapter = self._positions.get(name)
                if adapter is None:
                    self._steps.append(Step("remove", gpu, name=name))
                elif adapter not in after:
                    self._steps.append(Step("remove", gpu, adapter))
                    self._now[gpu].adapters.discard(adapter)

    def _share(self, gpu: int) -> float:
        """Of requests that name no adapter, what a GPU is to get in the end."""
        return self._new[gpu].base if gpu in self._new else 0.0

    def _route(self, gpus: Iterable[int]) -> None:
        """Requests that name no adapter go to these GPUs, too, if they are to.

        New GPUs get theirs first, so that the others have less; those that run already, when all adapters are in place.
        From the first on all are judged by what they are to get in the end.
        """
        for gpu in gpus:
            if self._share(gpu) and not (gpu in self._previous and self._previous[gpu].base):
                self._steps.append(Step("route", gpu))
        for place, state in self._now.items():
            if isinstance(place, int) and place in self._new:
                state.base = self._share(place)

    def _suits(self, gpu: int) -> bool:
        """Whether the flags that its server runs with serve what is to come."""
        assignment, running = self._new[gpu], self._previous[gpu]
        if not same_type(assignment, running):
            return False
        if dict(running.flags) == dict(assignment.flags):
            return True
        state, final = self._now[gpu], self._copies.final
        weights = {each: final[each] for each in assignment.adapters if each in final}
        return not assignment.standby and self._holds_under(
            state.gpu_type, assignment.adapters, state.fixed, state.base, weights
        )

    def _final_flags(self, gpu: int) -> dict[str, int | float]:
        return dict(self._new[gpu].flags)

    def _move(self, new: Mapping[int, set[int]], restarting: set[int]) -> None:
        """Every adapter to where it belongs; servers that need other flags are started anew as soon as that can be."""
        waiting: dict[Place, list[int]] = {gpu: self._arrivals(gpu, new[gpu]) for gpu in new}
        while True:
            progress = self._restart(restarting)
            for gpu in sorted(new, key=lambda each: len(waiting[each])):
                if gpu not in restarting:
                    progress |= self._receive(gpu, waiting, new)
            left = {gpu: adapters for gpu, adapters in waiting.items() if adapters}
            if not left and not restarting:
                break
            if not progress:
                self._unlock(waiting, restarting, new)
        for gpu in (*new, *sorted(self._previous.keys() - new.keys())):
            for adapter in sorted(self._now[gpu].adapters - new.get(gpu, set())):  # a copy less
                self._steps.append(Step("remove", gpu, adapter))
                self._now[gpu].adapters.discard(adapter)

    def _arrivals(self, gpu: Place, wanted: set[int]) -> list[int]:
        rank = self._servers.mix().rank
        return sorted(wanted - self._now[gpu].adapters, key=lambda each: (-rank[each], each))

    def _restart(self, restarting: set[int]) -> bool:
        """Start servers anew whose adapters the new flags serve already."""
        ready = [
            gpu
            for gpu in sorted(restarting)
            if self._holds_under(
                self._type[gpu],
                self._now[gpu].adapters,
                self._final_flags(gpu),
                self._share(gpu),
                self._weights(gpu, self._now[gpu].adapters),
            )
        ]
        for gpu in ready:
            self._steps.append(Step("restart", gpu))
            self._now[gpu].fixed = self._final_flags(gpu)
            self._now[gpu].gpu_type = self._type[gpu]
            restarting.discard(gpu)
        return bool(ready)

    def _receive(self, gpu: int, waiting: dict[Place, list[int]], new: Mapping[int, set[int]]) -> bool:
        """Move as many of those that wait to a GPU as it bears at once with what it has."""
        candidates, there = waiting[gpu], self._now[gpu].adapters
        if not candidates:
            return False
        if self._holds(gpu, there | set(candidates)):
            some = list(candidates)
        else:
            low, high = 0, len(candidates)
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if self._holds(gpu, there | set(candidates[:middle])) else (low, middle)
            some = candidates[:low]
            if not some:  # the first may be the one that is too large
                some = next(([each] for each in candidates[1:4] if self._holds(gpu, there | {each})), [])
        for adapter in some:
            self._go(adapter, gpu, new)
        waiting[gpu] = [each for each in candidates if each not in set(some)]
        return bool(some)

    def _go(self, adapter: int, gpu: Place, new: Mapping[int, set[int]], detour: bool = False) -> None:
        places = sum(adapter in state.adapters for state in self._now.values())
        # Copies that are more than there were come first, so that none has more than its share when others move.
        more = not detour and self._copies.missing(adapter, places)
        source = None if more else self._leaving(adapter, new, gpu)
        known = source is not None or adapter in self._paused
        self._steps.append(Step("move" if known else "add", gpu, adapter, source=source))
        self._now[gpu].adapters.add(adapter)
        if source is not None:
            self._now[source].adapters.discard(adapter)
        if detour and adapter not in self._detours:
            self._detours.append(adapter)

    def _leaving(self, adapter: int, new: Mapping[int, set[int]], target: Place) -> Place | None:
        """A GPU where the adapter is and does not stay."""
        for gpu, state in self._now.items():
            if (
                gpu != target
                and adapter in state.adapters
                and adapter not in (new.get(gpu, ()) if isinstance(gpu, int) else ())
            ):
                return gpu
        return None

    def _unlock(self, waiting: dict[Place, list[int]], restarting: set[int], new: Mapping[int, set[int]]) -> None:
        """Nothing can be done: take an adapter out of the way, where it is waited for most."""
        blocked = [gpu for gpu in new if waiting[gpu] or gpu in restarting]
        leaving = {
            gpu: [
                each
                for each in sorted(self._now[gpu].adapters - new[gpu] - set(self._detours))
                if self._belongs_elsewhere(each, waiting)
            ]
            for gpu in blocked
        }
        gpu = max(blocked, key=lambda each: (bool(leaving[each]), len(waiting[each])))
        if not leaving[gpu]:
            self._force(gpu, waiting, restarting, new)
            return
        adapter = leaving[gpu][0]
        others = [each for each in self._now if each not in (gpu, SPARE) and each not in restarting]
        for other in others:
            if self._holds(other, self._now[other].adapters | {adapter}):
                self._go(adapter, other, new, detour=True)
                return
        if SPARE not in self._now:
            self._steps.append(Step("start", SPARE))
            self._now[SPARE] = _State(set(), None, self._type[gpu])
        if self._holds(SPARE, self._now[SPARE].adapters | {adapter}):
            self._go(adapter, SPARE, new, detour=True)
            return
        self._pause(adapter, gpu)

    def _belongs_elsewhere(self, adapter: int, waiting: Mapping[Place, Sequence[int]]) -> bool:
        return any(adapter in candidates for candidates in waiting.values())

    def _pause(self, adapter: int, gpu: Place) -> None:
        self._steps.append(Step("remove", gpu, adapter))
        self._now[gpu].adapters.discard(adapter)
        self._paused.append(adapter)

    def _force(
        self, gpu: int, waiting: dict[Place, list[int]], restarting: set[int], new: Mapping[int, set[int]]
    ) -> None:
        """Nothing leaves this GPU any more, and yet it cannot go on: what it is to be, it becomes."""
        self._forced.append(gpu)
        if gpu in restarting:
            self._steps.append(Step("restart", gpu))
            self._now[gpu].fixed, self._now[gpu].gpu_type = self._final_flags(gpu), self._type[gpu]
            restarting.discard(gpu)
            return
        for adapter in waiting[gpu]:
            self._go(adapter, gpu, new)
        waiting[gpu] = []

    def _holds(self, gpu: Place, adapters: set[int]) -> bool:
        state = self._now[gpu]
        return self._holds_under(state.gpu_type, adapters, state.fixed, state.base, self._weights(gpu, adapters))

    def _holds_under(
        self,
        gpu_type: int,
        adapters: Iterable[int],
        flags: Mapping[str, int | float] | None,
        base: float,
        weights: Mapping[int, float],
    ) -> bool:
        """Whether a server with these flags keeps the objective with these adapters."""
        group = Group(tuple(sorted(adapters)), gpu_type, weights, base=base)
        shares = tuple(sorted(weights.items()))
        key = (group.gpu_type, group.adapters, shares, base, tuple(sorted((flags or {}).items())), flags is None)
        if key not in self._judged:
            self._judged[key] = self._judge(group, flags)
        return self._judged[key]

    def _weights(self, gpu: Place, adapters: Iterable[int]) -> dict[int, float]:
        return self._copies.weights(gpu, adapters, {place: state.adapters for place, state in self._now.items()})

    def _judge(self, group: Group, flags: Mapping[str, int | float] | None) -> bool:
        if not group.adapters and not group.base:
            return True
        if flags is None:
            return not self._servers.judge(group).missed
        return not missed_under(self._servers, group, flags)


def _where(gpus: Mapping[Any, set[int]]) -> dict[int, set[Place]]:
    found = defaultdict[int, set[Place]](set)
    for gpu, adapters in gpus.items():
        for adapter in adapters:
            found[adapter].add(gpu)
    return dict(found)
