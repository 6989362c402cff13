"""What a pair's Profile alone says of a mix: serving it in equilibrium, in closed form.

A step lasts as long as its batch makes it last, and the batch is what arrives while answers are written (Little's
law). With N adapters of mean request rate q, prompts of I and answers of O tokens, and steps of t seconds:

    running requests       R = N q O t
    adapters in flight     A = N h(t),  h(t) = mean over adapters of 1 - exp(-rate O t)
    time of a step         t = base + per_request R + per_adapter A + (per_prefill_token I + miss load) N q t

from which N follows for every t; coefficients as in `twin.profile.Step`, of G slots. `miss` is the share of requests
that find their adapter in no slot: with a least-recently-used cache, those not seen for as long as it takes G
adapters to come by (Che's approximation). The batch has to fit into the KV cache and its adapters into the slots.
Queueing is left out; what it costs is learned from simulations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.mix import Mix
from twin.profile import Profile
from twin.server import LORA_RANKS

Floats = NDArray[np.float64]

STEP_S = np.geomspace(1e-3, 30.0, 120)
"""Step times considered, s."""
GROUPS = 64
"""Beyond so many, adapters of similar traffic are taken together."""
ROUNDS = 12
"""Iterations for what depends on N itself: slots and misses."""


class State(NamedTuple):
    """A server in equilibrium; an overloaded one works at its limit."""

    step_ms: float
    """Time of a step, and so of one answer token."""
    active_adapters: float
    """Adapters in flight."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The equilibria of a mix that fit, by increasing number of adapters."""

    adapters: Floats
    step_s: Floats
    active_adapters: Floats

    @property
    def max_adapters(self) -> float:
        """The most adapters of this mix in equilibrium, not necessarily a whole number."""
        return float(self.adapters[-1])

    def serving(self, adapters: float) -> State:
        """The state when so many adapters of the mix are served."""
        step_s = np.exp(np.interp(adapters, self.adapters, np.log(self.step_s)))
        active = np.interp(adapters, self.adapters, self.active_adapters)
        return State(1e3 * float(step_s), min(float(active), adapters))


def estimate(mix: Mix, profile: Profile, max_loras: int | None = None) -> Estimate:
    """The equilibria of a mix, with so many slots or (default) with as many as adapters are in flight."""
    share = mix.rate / mix.rate.sum()
    rate, prompt, answer = float(mix.rate.mean()), float(share @ mix.input_mean), float(share @ mix.output_mean)
    # A request holds its prompt and what it has written; long answers are seen more often.
    context = prompt + float(share @ (mix.output_mean**2 + mix.output_std**2)) / answer / 2
    in_flight, missing = _presence(mix)

    memory, step, loading = profile.memory, profile.step, profile.loading
    slot_rank = next((rank for rank in LORA_RANKS if rank >= mix.rank.max()), LORA_RANKS[-1])
    slot_tokens = memory.kv_tokens_per_slot_rank * slot_rank + memory.kv_tokens_per_slot
    most_slots = max((memory.kv_tokens_base - memory.max_model_len) / max(slot_tokens, 1e-3), 1.0)
    load_ms = loading.memory_base_ms + loading.memory_per_rank_ms * float(mix.rank.mean())

    adapters = np.zeros_like(STEP_S)
    slots = np.full_like(STEP_S, max_loras or 1.0)
    for _ in range(ROUNDS):
        if max_loras is None:
            slots = np.clip(adapters * in_flight, 1.0, most_slots)
        miss = np.interp(slots / np.maximum(adapters, 1e-9), in_flight, missing, right=0.0)
        base = step.base_ms + step.lora_base_ms + step.per_slot_ms * slots + profile.scheduling.base_ms
        per_request = step.per_request_ms + step.lora_per_token_ms + step.per_request_slot_ms * slots
        per_request += profile.scheduling.per_request_ms
        per_prefill_token = step.per_prefill_token_ms + step.lora_per_token_ms + step.per_prefill_token_slot_ms * slots
        per_arrival = per_request * answer + per_prefill_token * prompt + load_ms * miss
        found = (1e3 * STEP_S - base) / (step.per_adapter_ms * in_flight + per_arrival * rate * STEP_S)
        adapters = (adapters + np.maximum(found, 0.0)) / 2

    running, active = adapters * rate * answer * STEP_S, adapters * in_flight
    kv_tokens = np.maximum(memory.kv_tokens_base - slot_tokens * slots, memory.max_model_len)
    shares = (running * context / kv_tokens, running / profile.serving.max_num_seqs, active / (max_loras or most_slots))
    return _up_to_full(Estimate(adapters, STEP_S, active), np.maximum.reduce(shares))


def _up_to_full(all_of_them: Estimate, fullness: Floats) -> Estimate:
    """The equilibria up to where the fullness (of memory, batch or slots) passes 1, that point included."""
    fullness = np.maximum.accumulate(fullness)
    index = np.arange(len(fullness))
    end = np.interp(1.0, fullness, index)
    below = index < end

    def cut(values: Floats) -> Floats:
        return np.maximum.accumulate(np.append(values[below], np.interp(end, index, values)))

    return Estimate(cut(all_of_them.adapters), cut(all_of_them.step_s), cut(all_of_them.active_adapters))


def _presence(mix: Mix) -> tuple[Floats, Floats]:
    """By step time the share of adapters that have a request in flight, and of requests whose adapter has no other."""
    traffic = np.sort(mix.rate * mix.output_mean)
    groups = np.array_split(traffic, min(len(traffic), GROUPS))
    mean, weight = np.array([group.mean() for group in groups]), np.array([len(group) for group in groups])
    absent = np.exp(-np.outer(STEP_S, mean))
    return 1 - absent @ weight / len(mix), absent @ (weight * mean) / float(weight @ mean)
