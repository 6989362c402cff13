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
`twin.engine.adapter_cache`). The batch has to fit into the KV cache and the token budget and, where nobody shall wait,
its adapters into the slots; else A is at most the slots. What waiting costs is learned from simulations. Of prompts
that begin as others of their adapter do, I is what they do not share, and what of the rest the KV cache has lost by
then. Base traffic adds its requests and tokens to the batch, none of which LoRA multiplies; N is what it leaves room
for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.features.batches import lora_cost, normal_cdf
from advisor.features.served_mix import ServedMix

Floats = NDArray[np.float64]

PER_ACTIVE = np.array((1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0))[:, np.newaxis]
"""Slots considered, per adapter in flight, where their number is not given; shape (rules, 1)."""
SLOTS = (1, 4, 8, 16, 32, 64, 128, 256)
"""Slots considered where requests may wait for them."""
ROUNDS = 8
"""Iterations for what depends on N itself: slots and misses. Of 160 mixes on Profiles drawn, 158 have then come to
within 1 % of what 200 lead to."""
STEEPEST, ACCELERATED = -9.0, 0.5
"""How fast what is found may fall and rise with what is assumed, for an extrapolation."""
ROUNDING = 1e-9
"""Numbers of adapters that differ by this share are the same."""
RELOADED = 1 / 6
"""Share of the batch's adapters that a miss drives out while none is idle."""


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


def estimate(served: ServedMix) -> Estimate:
    """The equilibria of a mix with a slot and more for all adapters in flight."""
    return _solve(served, _slots_for_all, np.zeros_like(PER_ACTIVE, dtype=np.bool_))


def estimate_waiting(served: ServedMix) -> tuple[Estimate, float]:
    """As `estimate`, and the most adapters if requests may wait for slots, with the slots best for that."""
    counts, few = np.array(SLOTS)[:, np.newaxis], len(PER_ACTIVE)
    waiting = np.arange(few + len(counts))[:, np.newaxis] >= few

    def slots_of(active: Floats, adapters: Floats) -> Floats:
        for_all = _slots_for_all(active[:few], adapters[:few])
        return np.concatenate([for_all, np.minimum(counts, adapters[few:])])

    found = _solve(served, slots_of, waiting).choices
    return Estimate(found[:few]), Estimate(found[few:]).max_adapters


def estimate_slots(served: ServedMix, max_loras: Sequence[int]) -> list[Estimate]:
    """The equilibria of a mix, one estimate for each of these numbers of slots, for which requests may wait."""
    counts = np.repeat(np.array(max_loras, dtype=np.float64)[:, np.newaxis], len(served.step_s), axis=1)
    found = _solve(served, lambda *_: counts, np.ones((len(counts), 1), dtype=np.bool_))
    return [Estimate((each,)) for each in found.choices]


def _slots_for_all(active: Floats, adapters: Floats) -> Floats:
    return np.minimum(active * PER_ACTIVE, adapters)


def _solve(served: ServedMix, slots_of: Callable[[Floats, Floats], Floats], waiting: NDArray[np.bool_]) -> Estimate:
    """The equilibria by step time, for every rule for the slots.

    `slots_of` gives the slots for so many adapters in flight and served, of shape (rules, n) like these. Under the
    rules where requests are `waiting` for slots, shape (rules, 1), a batch holds more requests of fewer adapters.
    """
    rules, present = _Rules(served, slots_of, waiting), served.presence
    adapters = _settled(rules.found_with, np.zeros((len(waiting), len(served.step_s))))
    active, slots, fullness = adapters * present.in_flight, rules.slots(adapters), rules.fullness(adapters)
    variance, peakedness = adapters * present.variance, present.peakedness
    return Estimate(
        tuple(
            _up_to_full(
                Equilibria(adapters[row], served.step_s, active[row], slots[row], variance[row], peakedness),
                fullness[row],
            )
            for row in range(len(slots))
        )
    )


class _Rules:
    """A mix on a server under rules for its slots, by step time; arrays have shape (rules, n), see `_solve`."""

    def __init__(
        self, served: ServedMix, slots_of: Callable[[Floats, Floats], Floats], waiting: NDArray[np.bool_]
    ) -> None:
        self._served, self._slots_of, self._waiting = served, slots_of, waiting

    def found_with(self, adapters: Floats) -> Floats:
        """Adapters for which there is time when slots, misses and batches are those of so many."""
        of, present = self._served, self._served.presence
        rate, base, step, scheduling = of.rate, of.base, of.profile.step, of.profile.scheduling
        active, slots = adapters * present.in_flight, self.slots(adapters)
        again = self._computed_again(adapters)
        computed = self._computed(again)
        miss = np.interp(slots / np.maximum(adapters, 1e-9), present.asked, present.longer, right=0.0)
        no_idle = normal_cdf((active - slots + 1.0) / (np.sqrt(adapters * present.variance) + 0.5))
        served = np.maximum(adapters, 1e-6) * rate * of.step_s
        tokens = served * (computed + of.answer) + base.tokens * of.step_s
        eager, batches = of.come.at(served, again)
        lora = lora_cost(step, of.max_rank, slots, batches, tokens)
        per_request = step.per_request_ms + lora.per_token_ms + scheduling.per_request_ms
        loads_ms = of.load_ms * miss * (1.0 + RELOADED * slots * no_idle)
        per_arrival = scheduling.per_arrival_ms + per_request * of.answer + lora.per_token_ms * computed + loads_ms
        arriving = rate * of.step_s * (per_arrival + step.per_eager_token_ms * (eager - of.eager_of_base) / served)
        left = of.left_by_base - lora.base_ms - base.tokens * of.step_s * lora.per_batched_token_ms
        found = left / (arriving + lora.per_adapter_ms * present.in_flight)
        with_waiting = np.maximum(found, (left - lora.per_adapter_ms * slots) / arriving)
        return np.maximum(np.where(self._waiting, with_waiting, found), 0.0)

    def slots(self, adapters: Floats) -> Floats:
        """Those of the rules, as far as memory allows."""
        of = self._served
        return np.clip(self._slots_of(adapters * of.presence.in_flight, adapters), 1.0, of.most_slots)

    def fullness(self, adapters: Floats) -> Floats:
        """Of the KV cache, the seats, the token budget and, where nobody is to wait, the slots: the fullest."""
        of, base, serving = self._served, self._served.base, self._served.profile.serving
        active, running = adapters * of.presence.in_flight, adapters * of.rate * of.answer * of.step_s
        computed = self._computed(self._computed_again(adapters))
        held = running * (of.context - of.shared) + active * of.shared + base.answered * of.step_s * base.context
        seats = (running + base.answered * of.step_s) / serving.max_num_seqs
        tokens = (adapters * of.rate * (computed + of.answer) + base.tokens) * of.step_s
        fullness = np.maximum(held / self._kv_tokens(adapters), seats)
        fullness = np.maximum(fullness, tokens / serving.max_num_batched_tokens)
        return np.where(self._waiting, fullness, np.maximum(fullness, active / of.most_slots))

    def _kv_tokens(self, adapters: Floats) -> Floats:
        of, memory = self._served, self._served.profile.memory
        return np.maximum(memory.kv_tokens_base - of.slot_tokens * self.slots(adapters), memory.max_model_len)

    def _computed(self, again: Floats) -> Floats:
        """Tokens of a prompt that are computed."""
        return self._served.prompt - self._served.shared * (1 - again)

    def _computed_again(self, adapters: Floats) -> Floats:
        """Of what prompts begin alike with, the share; the more it is, the shorter the KV cache keeps it."""
        of, again = self._served, np.zeros_like(adapters)
        for _ in range(2 if of.shared else 0):
            tokens = adapters * of.rate * (self._computed(again) + of.answer) + of.base.tokens
            again = of.evicted(self._kv_tokens(adapters) / np.maximum(tokens, 1e-9))
        return again


def _settled(found_with: Callable[[Floats], Floats], start: Floats) -> Floats:
    """What is found when itself is assumed, each element for itself, of values from `start` on.

    By secants (Wegstein's iteration) within what is known to be too few and too many, else halfway between the two.
    """
    assumed, slope = start, np.full_like(start, -1.0)
    few, many = np.zeros_like(start), np.full_like(start, np.inf)
    found = found_with(assumed)
    for _ in range(ROUNDS):
        few, many = np.where(found >= assumed, assumed, few), np.where(found <= assumed, assumed, many)
        better = assumed + (found - assumed) / (1.0 - slope)
        better = np.where((better > few) & (better < many) | np.isinf(many), better, (few + many) / 2)
        then, apart = found_with(better), better - assumed
        slope = np.divide(then - found, apart, out=np.zeros_like(slope), where=np.abs(apart) > 1e-12)
        assumed, found, slope = better, then, np.clip(slope, STEEPEST, ACCELERATED)
    return assumed


def _up_to_full(found: Equilibria, fullness: Floats) -> Equilibria:
    """The equilibria up to where the fullness (of memory, batch or slots) passes 1, that point included.

    Longer steps that serve no more adapters are left out; of those that serve none the longest stays, which is that of
    a server that has nothing else to do.
    """
    index = np.arange(len(fullness))
    end = np.interp(1.0 + 1e-9, np.maximum.accumulate(fullness), index)
    below = index < end

    def cut(values: Floats) -> Floats:
        return np.append(values[below], np.interp(end, index, values))

    def rising(values: Floats) -> Floats:
        return np.maximum.accumulate(cut(values))

    adapters = rising(found.adapters)
    more = np.append(True, adapters[1:] > adapters[:-1] * (1 + ROUNDING))
    none = np.count_nonzero(adapters <= 0)
    more[:none] = np.arange(none) == none - 1
    return Equilibria(
        adapters[more],
        *(rising(values)[more] for values in (found.step_s, found.active_adapters, found.slots)),
        *(cut(values)[more] for values in (found.variance, found.peakedness)),
    )
