"""What a pair's Profile alone says of a mix: serving it in equilibrium, in closed form.

A step lasts as long as its batch makes it last, and the batch is what arrives while answers are written (Little's
law). With N adapters of mean request rate q, prompts of I and answers of O tokens, and steps of t seconds:

    running requests       R = N q O t
    adapters in flight     A = N h(t),  h(t) = share of adapters asked within O t
    batched tokens         T = N q (I + O) t
    time of a step         t = base + per_request R + per_adapter A + (per_token I + miss load) N q t
                               + per_slot G + per_eager_token E

from which N follows for every t; coefficients as in `twin.profile.Step`, E in `eager_tokens`. What LoRA's kernels take,
per slot and per adapter, goes in stairs of T; most steps only decode and have far fewer tokens than those in which a
prompt is computed, so that it is their means over both kinds. h and the share of requests that find their adapter in no
slot, `miss`, are those of renewal processes (see `renewal`): with a least-recently-used cache, an adapter is not there
that was not asked for as long as it takes G adapters to come by (Che's approximation). While all slots are held by
adapters in flight, a miss makes others of the batch miss as well, a sixth of them on average (see
`twin.engine.scheduler.adapter_cache`). The batch has to fit into the KV cache and the token budget and, where nobody
shall wait, its adapters into the slots; else A is at most the slots. What waiting costs is learned from simulations. Of
prompts that begin as others of their adapter do, I is what they do not share, and what of the rest the KV cache has
lost by then. Base traffic adds its requests and tokens to the batch, none of which LoRA multiplies; N is what it leaves
room for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.features.balance import Balance, Rules, balance
from advisor.features.served_mix import ServedMix

Floats = NDArray[np.float64]

PER_ACTIVE = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0)
"""Slots considered, per adapter in flight, where their number is not given."""
SLOTS = (1, 4, 8, 16, 32, 64, 128, 256)
"""Slots considered where requests may wait for them."""
APART = 8
"""Of so many step times one is solved first, to see beyond which every server is full: most are."""
ROUGHLY = 1e-2
"""Share within which these are solved."""
FULL = 1.0 + 1e-9
"""Servers are, from there on: but for rounding."""
ROUNDING = 1e-9
"""Numbers of adapters that differ by this share are the same."""


class State(NamedTuple):
    """A server in equilibrium; an overloaded one works at its limit."""

    step_ms: float
    """Time of a step, and so of one answer token."""
    active_adapters: float
    """Adapters in flight, those that wait for a slot included."""
    slots: float
    """Adapter slots, those that make steps shortest where their number was not given."""
    deviation: float
    """Standard deviation of the adapters in flight."""
    peakedness: float
    """Variance over mean of the requests in flight."""


@dataclass(frozen=True, slots=True)
class Equilibria:
    """The equilibria that fit under one rule for the slots, by increasing number of adapters; shape (n,) each."""

    adapters: Floats
    step_s: Floats
    active_adapters: Floats
    slots: Floats
    variance: Floats
    """Of the adapters in flight."""
    peakedness: Floats

    def at(self, adapters: float) -> State:
        """The state when so many adapters are served."""
        step_s = float(np.exp(np.interp(adapters, self.adapters, np.log(self.step_s))))
        active, slots, variance, peakedness = (
            float(np.interp(adapters, self.adapters, values))
            for values in (self.active_adapters, self.slots, self.variance, self.peakedness)
        )
        return State(1e3 * step_s, min(active, adapters), slots, math.sqrt(variance), peakedness)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The equilibria of a mix under every rule for the slots that was considered."""

    choices: tuple[Equilibria, ...]

    @property
    def max_adapters(self) -> float:
        """The most adapters of this mix in equilibrium, not necessarily a whole number."""
        return max(float(each.adapters[-1]) for each in self.choices)

    def serving(self, adapters: float) -> State:
        """The state when so many adapters of the mix are served, with the slots that suit it best."""
        enough = min(adapters, self.max_adapters * (1 - ROUNDING))
        return min(each.at(adapters) for each in self.choices if each.adapters[-1] >= enough)


@dataclass(frozen=True, slots=True)
class Estimates:
    """The equilibria of a mix on its server."""

    served: ServedMix
    for_all: Estimate
    """With a slot and more for all adapters in flight."""
    waiting: Estimate
    """If requests may wait for slots, of which there are `SLOTS`."""


def estimate(served: ServedMix) -> Estimate:
    """The equilibria of a mix with a slot and more for all adapters in flight."""
    return _solve(served, _for_all())


def estimates(served: ServedMix) -> Estimates:
    """Both of the equilibria of a mix whose slots are not given, in one solution."""
    none, counts, few = np.zeros(len(SLOTS)), np.array(SLOTS, dtype=np.float64), len(PER_ACTIVE)
    waiting = Rules(per_active=none, beside=counts, at_least=none + 1, waiting=np.ones(len(SLOTS), dtype=np.bool_))
    found = _solve(served, Rules(*(np.concatenate(each) for each in zip(_for_all(), waiting, strict=True)))).choices
    return Estimates(served, Estimate(found[:few]), Estimate(found[few:]))


def estimate_slots(served: ServedMix, max_loras: Sequence[int], waiting: Estimate | None = None) -> list[Estimate]:
    """The equilibria of a mix, one estimate for each of these numbers of slots, for which requests may wait.

    They are found sooner where they are known of other slots (`waiting`, of `Estimates`).
    """
    counts, none = np.array(max_loras, dtype=np.float64), np.zeros(len(max_loras))
    fixed = Rules(per_active=none, beside=none, at_least=counts, waiting=np.ones(len(counts), dtype=np.bool_))
    found = _solve(served, fixed) if waiting is None else _solve_near(served, fixed, waiting)
    return [Estimate((each,)) for each in found.choices]


def _for_all() -> Rules:
    none = np.zeros(len(PER_ACTIVE))
    return Rules(np.array(PER_ACTIVE), beside=none, at_least=none + 1, waiting=np.zeros(len(none), dtype=np.bool_))


def _solve(served: ServedMix, rules: Rules) -> Estimate:
    """The equilibria by step time, for every rule for the slots, up to where all servers are full."""
    times = np.arange(len(served.step_s))
    some = np.union1d(times[::APART], times[-1:])
    first = balance(served, rules, some, np.zeros((len(rules.waiting), len(some))), within=ROUGHLY)
    full = np.maximum.accumulate(first.fullness, axis=1).min(axis=0) > FULL + ROUGHLY
    times = times[: 1 + (some[int(full.argmax())] if full.any() else times[-1])]
    near = np.array([np.interp(times, some, each) for each in first.adapters])
    return _up_to_full(served, balance(served, rules, times, near))


def _solve_near(served: ServedMix, rules: Rules, waiting: Estimate) -> Estimate:
    """The same for rules of fixed slots, near the equilibria of `SLOTS`."""
    last = max(int(np.searchsorted(served.step_s, each.step_s[-1])) for each in waiting.choices)
    place = np.interp(np.log(rules.at_least), np.log(SLOTS), np.arange(len(SLOTS)))
    below = np.minimum(place.astype(np.intp), len(SLOTS) - 2)
    share = (place - below)[:, np.newaxis]
    for count in (last + 2, len(served.step_s)):
        times = np.arange(min(count, len(served.step_s)))
        known = np.array([np.interp(served.step_s[times], each.step_s, each.adapters) for each in waiting.choices])
        near = (1 - share) * known[below] + share * known[below + 1]
        found = balance(served, rules, times, near)
        if np.all(found.fullness.max(axis=1) > FULL):
            break
    return _up_to_full(served, found)


def _up_to_full(served: ServedMix, found: Balance) -> Estimate:
    return Estimate(tuple(_until_full(served, found, rule) for rule in range(len(found.adapters))))


def _until_full(served: ServedMix, found: Balance, rule: int) -> Equilibria:
    """The equilibria under a rule up to where the fullness (of memory, batch or slots) passes 1, that point included.

    Longer steps that serve no more adapters are left out; of those that serve none the longest stays, which is that of
    a server that has nothing else to do.
    """
    fullness = np.maximum.accumulate(found.fullness[rule])
    end = float(np.interp(FULL, fullness, np.arange(len(fullness))))
    last = math.ceil(end)
    rising = found.adapters[rule], served.step_s, found.active_adapters[rule], found.slots[rule]
    values = np.array([each[: last + 1] for each in (*rising, found.variance[rule], served.presence.peakedness)])
    values[:, -1] -= (last - end) * (values[:, -1] - values[:, last - 1])
    np.maximum.accumulate(values[: len(rising)], axis=1, out=values[: len(rising)])
    adapters = values[0]
    more = np.append(True, adapters[1:] > adapters[:-1] * (1 + ROUNDING))
    none = np.count_nonzero(adapters <= 0)
    more[:none] = np.arange(none) == none - 1
    return Equilibria(*values[:, more])
