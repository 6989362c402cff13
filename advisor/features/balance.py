"""Servers in balance: as many adapters as a step has time for, by the time of a step and a rule for the slots.

The equations are those of `advisor.features.estimate`. Slots, misses and batches depend on the number of adapters that
they lead to, so that it is sought. Shapes are (n,), an element for each such server, but where others are given.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.features.batches import lora_cost, normal_cdf
from advisor.features.served_mix import ServedMix

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Index = NDArray[np.intp]

PRECISION = 1e-7
"""Numbers of adapters are sought until what is found is within that share of what is assumed; a last secant from there
leaves less than a hundredth of it."""
ROUNDS = 100
"""Of which every third at least halves what is not known: more than enough for that precision."""
MOST = 1e200
"""Adapters, far beyond any that are found."""
RISING = 0.95
"""How fast what is found may rise with what is assumed, for an extrapolation."""
FEWER = 0.8
"""Share of the servers at which those that have settled are put aside: to do so costs as much as a fifth of a round."""
RELOADED = 1 / 6
"""Share of the batch's adapters that a miss drives out while none is idle."""


class Rules(NamedTuple):
    """Rules for the slots."""

    per_active: Floats
    """Slots per adapter in flight, and"""
    beside: Floats
    """beside these; no more than adapters are served."""
    at_least: Floats
    """Slots, whatever is served: one and more."""
    waiting: Bools
    """Whether requests may wait for slots. Then a batch holds more requests of fewer adapters."""

    def of(self, which: Index) -> Rules:
        """Some of the rules, or each as often as its index comes."""
        return Rules(self.per_active[which], self.beside[which], self.at_least[which], self.waiting[which])


class Balance(NamedTuple):
    """Servers in balance, shape (rules, step times) each."""

    adapters: Floats
    active_adapters: Floats
    """Adapters in flight, those that wait for a slot included."""
    slots: Floats
    variance: Floats
    """Of the adapters in flight."""
    fullness: Floats
    """Of the KV cache, the seats, the token budget and, where nobody is to wait, the slots: the fullest."""


def balance(served: ServedMix, rules: Rules, times: Index, near: Floats, within: float = PRECISION) -> Balance:
    """Servers with steps of these of the mix's times, under each of the rules, within that share of their adapters.

    These are sought first near so many as `near` has.
    """
    shape = len(rules.waiting), len(times)
    rule, time = (each.ravel() for each in np.indices(shape))
    servers = _Servers(served, rules.of(rule), times[time])
    adapters = _settled(servers, near.ravel(), within)
    active, variance = servers.active(adapters), adapters * servers.variance
    found = adapters, active, servers.slots(adapters), variance, servers.fullness(adapters)
    return Balance(*(each.reshape(shape) for each in found))


class _Servers:
    """A mix on servers of different step times under rules for their slots."""

    def __init__(self, served: ServedMix, rules: Rules, time: Index) -> None:
        self._served, self._rules, self._time = served, rules, time
        self._step_s, self._in_flight = served.step_s[time], served.presence.in_flight[time]
        self.variance = served.presence.variance[time]
        self._left, self._eager_of_base = served.left_by_base[time], served.eager_of_base[time]

    def of(self, which: Index) -> _Servers:
        """Some of them."""
        return _Servers(self._served, self._rules.of(which), self._time[which])

    def found_with(self, adapters: Floats) -> Floats:
        """Adapters for which there is time when slots, misses and batches are those of so many."""
        of, step_s = self._served, self._step_s
        rate, base, step, scheduling = of.rate, of.base, of.profile.step, of.profile.scheduling
        active, slots = self.active(adapters), self.slots(adapters)
        again = self._computed_again(adapters)
        computed = self._computed(again)
        miss = np.interp(slots / np.maximum(adapters, 1e-9), *of.missed)
        no_idle = normal_cdf((active - slots + 1.0) / (np.sqrt(adapters * self.variance) + 0.5))
        served = np.maximum(adapters, 1e-6) * rate * step_s
        tokens = served * (computed + of.answer) + base.tokens * step_s
        eager, batches = of.come.at(served, again, step_s)
        lora = lora_cost(step, of.slots_rank, slots, batches, tokens)
        per_request = step.per_request_ms + lora.per_token_ms + scheduling.per_request_ms
        loads_ms = of.load_ms * miss * (1.0 + RELOADED * slots * no_idle)
        per_arrival = scheduling.per_arrival_ms + per_request * of.answer + lora.per_token_ms * computed + loads_ms
        arriving = rate * step_s * (per_arrival + step.per_eager_token_ms * (eager - self._eager_of_base) / served)
        left = self._left - lora.base_ms - base.tokens * step_s * lora.per_batched_token_ms
        found = left / (arriving + lora.per_adapter_ms * self._in_flight)
        with_waiting = np.maximum(found, (left - lora.per_adapter_ms * slots) / arriving)
        return np.maximum(np.where(self._rules.waiting, with_waiting, found), 0.0)

    def active(self, adapters: Floats) -> Floats:
        """Adapters in flight."""
        return adapters * self._in_flight

    def slots(self, adapters: Floats) -> Floats:
        """Those of the rules, as far as memory allows."""
        suited = np.minimum(self.active(adapters) * self._rules.per_active + self._rules.beside, adapters)
        return np.minimum(np.maximum(suited, self._rules.at_least), self._served.most_slots)

    def fullness(self, adapters: Floats) -> Floats:
        """See `Balance`."""
        of, base, serving, step_s = self._served, self._served.base, self._served.profile.serving, self._step_s
        active, running = self.active(adapters), adapters * of.rate * of.answer * step_s
        computed = self._computed(self._computed_again(adapters))
        held = running * (of.context - of.shared) + active * of.shared + base.answered * step_s * base.context
        seats = (running + base.answered * step_s) / serving.max_num_seqs
        tokens = (adapters * of.rate * (computed + of.answer) + base.tokens) * step_s
        fullness = np.maximum(held / self._kv_tokens(adapters), seats)
        fullness = np.maximum(fullness, tokens / serving.max_num_batched_tokens)
        return np.where(self._rules.waiting, fullness, np.maximum(fullness, active / of.most_slots))

    def _kv_tokens(self, adapters: Floats) -> Floats:
        of, memory = self._served, self._served.profile.memory
        return np.maximum(memory.kv_tokens_base - of.slot_tokens * self.slots(adapters), memory.max_model_len)

    def _computed(self, again: Floats | float) -> Floats | float:
        """Tokens of a prompt that are computed."""
        return self._served.prompt - self._served.shared * (1 - again)

    def _computed_again(self, adapters: Floats) -> Floats | float:
        """Of what prompts begin alike with, the share; the more it is, the shorter the KV cache keeps it."""
        of = self._served
        again: Floats | float = 0.0
        for _ in range(2 if of.shared else 0):
            tokens = adapters * of.rate * (self._computed(again) + of.answer) + of.base.tokens
            again = of.evicted(self._kv_tokens(adapters) / np.maximum(tokens, 1e-9))
        return again


def _settled(servers: _Servers, near: Floats, precision: float) -> Floats:
    """What is found when itself is assumed, each element for itself, sought first near these.

    By secants (Wegstein's iteration) within what is known to be too few and too many, else between the two; the next
    secant goes on from there unless it is further off. Who has settled keeps what was found. Where what is found jumps
    past what is assumed, it is the place of the jump.
    """
    settled, still, assumed = np.zeros_like(near), np.arange(len(near)), np.zeros_like(near)
    found, slope, going = servers.found_with(assumed), np.full_like(near, -1.0), np.ones(len(near), dtype=np.bool_)
    few, many, width = np.zeros_like(near), np.where(found > 0.0, np.inf, 0.0), np.full_like(near, np.inf)
    for count in range(ROUNDS):
        better = assumed + (found - assumed) / (1.0 - slope)
        inside = (better >= few) & (better < many) & (found > 0.0)
        close = np.abs(found - assumed) <= precision * assumed
        settled[still] = np.where(going, np.where(close & inside, better, assumed), settled[still])
        going &= ~close & (many - few > precision * few)
        if not going.any():
            break
        if count % 3 == 2:
            inside &= many - few < width / 2
            width = many - few
        between = ~inside & np.isfinite(many)
        better = np.where(between, _between(few, np.minimum(many, MOST)), better)
        if count == 0:
            better = np.where(near > 0.0, near, better)
        better = np.where(going, better, settled[still])
        if np.count_nonzero(going) < FEWER * len(going):
            left = np.flatnonzero(going)
            servers, still = servers.of(left), still[left]
            assumed, better, found, slope, few, many, width, near = (
                each[left] for each in (assumed, better, found, slope, few, many, width, near)
            )
            going, between = going[left], between[left]
        then, apart = servers.found_with(better), better - assumed
        few, many = np.where(then >= better, better, few), np.where(then <= better, better, many)
        further = between & (np.abs(then - better) > np.abs(found - assumed)) & (assumed >= few) & (assumed <= many)
        secant = np.divide(then - found, apart, out=np.zeros_like(slope), where=apart != 0.0)
        slope = np.where(further, slope, np.minimum(secant, RISING))
        assumed, found = np.where(further, assumed, better), np.where(further, found, then)
    return settled


def _between(few: Floats, many: Floats) -> Floats:
    """Numbers between, by their size while they are of different sizes."""
    return np.where(many > 4.0 * few, np.maximum(np.sqrt(few) * np.sqrt(many), many / 64.0), (few + many) / 2)
