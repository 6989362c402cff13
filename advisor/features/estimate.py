"""What a pair's Profile alone says of a mix: serving it in equilibrium, in closed form.

A step lasts as long as its batch makes it last, and the batch is what arrives while answers are written (Little's
law). With N adapters of mean request rate q, prompts of I and answers of O tokens, and steps of t seconds:

    running requests       R = N q O t
    adapters in flight     A = N h(t),  h(t) = mean over adapters of 1 - exp(-bursts O t)
    batched tokens         T = N q (I + O) t
    time of a step         t = base + per_request R + per_adapter A + (per_token I + miss load) N q t
                               + per_slot G + per_eager_token E

from which N follows for every t; coefficients as in `twin.profile.Step`, E in `eager_tokens`. What LoRA's kernels take,
per slot and per adapter, goes in stairs of T, which the batches around a mean one climb in different steps: here it is
their mean. Bursts are groups of requests that come together, rate ln(c^2) / (c^2 - 1) of them with gaps of variation c
> 1: arrivals with dispersion c^2, seen as a negative binomial process, are Poisson bursts of logarithmic sizes. `miss`
is the share of requests that start a burst and find their adapter in no slot: with a least-recently-used cache, those
not seen for as long as it takes G adapters to come by (Che's approximation). While all slots are held by adapters in
flight, a miss makes others of the batch miss as well, a sixth of them on average (see `twin.engine.adapter_cache`). The
batch has to fit into the KV cache and the token budget and, where nobody shall wait, its adapters into the slots; else
A is at most the slots. What waiting costs is learned from simulations. Of prompts that begin as others of their adapter
do, I is what they do not share. Base traffic adds its requests and tokens to the batch, none of which LoRA multiplies;
N is what it leaves room for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twin import lora_kernels
from twin.profile import Profile, Step
from twin.settings import slot_rank
from twin.workload import Workload

Floats = NDArray[np.float64]

STEP_S = np.geomspace(1e-3, 30.0, 120)
"""Step times considered, s."""
SLOTS_PER_ACTIVE = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0)
"""Slots considered, per adapter in flight, where their number is not given."""
SLOTS = (1, 4, 8, 16, 32, 64, 128, 256)
"""Slots considered where requests may wait for them."""
GROUPS = 64
"""Beyond so many, adapters of similar traffic are taken together."""
ROUNDS = 12
"""Iterations for what depends on N itself: slots and misses."""
RELOADED = 1 / 6
"""Share of the batch's adapters that a miss drives out while none is idle."""


class State(NamedTuple):
    """A server in equilibrium; an overloaded one works at its limit."""

    step_ms: float
    """Time of a step, and so of one answer token."""
    active_adapters: float
    """Adapters in flight."""
    slots: float
    """Adapter slots, those that make steps shortest where their number was not given."""


@dataclass(frozen=True, slots=True)
class Equilibria:
    """The equilibria that fit under one rule for the slots, by increasing number of adapters; shape (n,) each."""

    adapters: Floats
    step_s: Floats
    active_adapters: Floats
    slots: Floats

    def at(self, adapters: float) -> State:
        """The state when so many adapters are served."""
        step_s = float(np.exp(np.interp(adapters, self.adapters, np.log(self.step_s))))
        active = float(np.interp(adapters, self.adapters, self.active_adapters))
        return State(1e3 * step_s, min(active, adapters), float(np.interp(adapters, self.adapters, self.slots)))


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
        enough = min(adapters, self.max_adapters)
        return min(each.at(adapters) for each in self.choices if each.adapters[-1] >= enough)


def estimate(mix: Workload, profile: Profile) -> Estimate:
    """The equilibria of a mix with a slot and more for all adapters in flight."""
    per_active = np.array(SLOTS_PER_ACTIVE)[:, np.newaxis]
    return _solve(mix, profile, lambda active, adapters: np.minimum(active * per_active, adapters), waiting=False)


def estimate_slots(mix: Workload, profile: Profile, max_loras: Sequence[int]) -> list[Estimate]:
    """The equilibria of a mix, one estimate for each of these numbers of slots, for which requests may wait."""
    counts = np.repeat(np.array(max_loras, dtype=np.float64)[:, np.newaxis], len(STEP_S), axis=1)
    return [Estimate((each,)) for each in _solve(mix, profile, lambda *_: counts, waiting=True).choices]


def most_adapters(mix: Workload, profile: Profile) -> float:
    """The most adapters of a mix in equilibrium if requests may wait for slots, with the slots best for that."""
    counts = np.array(SLOTS)[:, np.newaxis]
    return _solve(mix, profile, lambda _, adapters: np.minimum(counts, adapters), waiting=True).max_adapters


def _solve(mix: Workload, profile: Profile, slots_of: Callable[[Floats, Floats], Floats], *, waiting: bool) -> Estimate:
    """The equilibria by step time, for every rule for the slots.

    `slots_of` gives the slots, shape (rules, n), for so many adapters in flight and served, one rule or more of shape
    (rules, n). Where requests are `waiting` for slots, a batch holds more requests of fewer adapters.
    """
    share = mix.rate / mix.rate.sum()
    rate, prompt, answer = float(mix.rate.mean()), float(share @ mix.input_mean), float(share @ mix.output_mean)
    shared = shared_tokens(mix, profile.memory.block_size)
    computed = prompt - shared
    in_flight, spread, missing = _presence(mix)
    base = _base_traffic(mix, profile.memory.block_size)
    prompts = _prompts(mix.traffic, profile.memory.block_size)
    prompt_squared = float(share @ (mix.input_mean**2 + mix.input_std**2))

    memory, step, serving = profile.memory, profile.step, profile.serving
    max_rank = slot_rank(float(mix.rank.max()))
    slot_tokens = memory.kv_tokens_per_slot_rank * max_rank + memory.kv_tokens_per_slot
    most_slots = max((memory.kv_tokens_base - memory.max_model_len) / max(slot_tokens, 1e-3), 1.0)
    load_ms = profile.loading.memory_base_ms + profile.loading.memory_per_rank_ms * float(mix.rank.mean())

    def eager_of(served: Floats | float) -> Floats:
        """Tokens of a step beyond the largest graph, with so many requests of adapters a step beside base traffic."""
        decoding = served * answer + base.answered * STEP_S
        together = prompts._replace(together=served + base.arriving * STEP_S)
        return eager_tokens(decoding - step.graph_tokens, together, serving.max_num_batched_tokens)

    eager_of_base = eager_of(0.0)
    left_by_base = _left_by_base(base, profile, eager_of_base)
    adapters = np.zeros_like(slots_of(STEP_S, STEP_S))
    for _ in range(ROUNDS):
        active = adapters * in_flight
        slots = np.clip(slots_of(active, adapters), 1.0, most_slots)
        miss = np.interp(slots / np.maximum(adapters, 1e-9), in_flight, missing, right=0.0)
        no_idle = _normal_cdf((active - slots + 1.0) / (np.sqrt(adapters * spread) + 0.5))
        in_step = adapters * rate * STEP_S
        tokens = in_step * (computed + answer) + base.tokens * STEP_S
        lora = lora_cost(step, max_rank, slots, tokens, in_step * (answer + prompt_squared))
        per_adapter, per_token = lora.per_adapter_ms, lora.per_token_ms
        per_request = step.per_request_ms + per_token + profile.scheduling.per_request_ms
        loads_ms = load_ms * miss * (1.0 + RELOADED * slots * no_idle)
        arriving = (
            rate * STEP_S * (profile.scheduling.per_arrival_ms + per_request * answer + per_token * computed + loads_ms)
        )
        left = left_by_base - lora.base_ms - base.tokens * STEP_S * lora.per_batched_token_ms
        served = np.maximum(adapters, 1e-6) * rate * STEP_S
        eager_ms = step.per_eager_token_ms * (eager_of(served) - eager_of_base) / served * rate * STEP_S
        found = left / (arriving + eager_ms + per_adapter * in_flight)
        if waiting:
            found = np.maximum(found, (left - per_adapter * slots) / (arriving + eager_ms))
        adapters = (adapters + np.maximum(found, 0.0)) / 2

    running, active = adapters * rate * answer * STEP_S, adapters * in_flight
    kv_tokens = np.maximum(memory.kv_tokens_base - slot_tokens * slots, memory.max_model_len)
    held = running * (held_tokens(mix) - shared) + active * shared + base.answered * STEP_S * base.context
    seats = (running + base.answered * STEP_S) / serving.max_num_seqs
    budget = (adapters * rate * (computed + answer) + base.tokens) * STEP_S / serving.max_num_batched_tokens
    fullness = np.maximum(np.maximum(held / kv_tokens, seats), budget)
    if waiting:
        active = np.minimum(active, slots)
    else:
        fullness = np.maximum(fullness, active / most_slots)
    return Estimate(
        tuple(
            _up_to_full(Equilibria(adapters[row], STEP_S, active[row], slots[row]), fullness[row])
            for row in range(len(slots))
        )
    )


def _left_by_base(base: _BaseTraffic, profile: Profile, eager: Floats) -> Floats:
    """ms that are left of steps beside what base traffic takes without LoRA, and the step itself; shape (n,)."""
    step, scheduling = profile.step, profile.scheduling
    answering = base.answered * (step.per_request_ms + scheduling.per_request_ms)
    each = 1e3 - answering - base.arriving * scheduling.per_arrival_ms
    return each * STEP_S - step.base_ms - scheduling.base_ms - step.per_eager_token_ms * eager


def held_tokens(mix: Workload) -> float:
    """KV tokens of a running request, on average: its prompt and what it has written; long answers are seen longer."""
    share = mix.rate / mix.rate.sum()
    answer = float(share @ mix.output_mean)
    return float(share @ mix.input_mean) + float(share @ (mix.output_mean**2 + mix.output_std**2)) / answer / 2


def shared_tokens(mix: Workload, block_size: int) -> float:
    """Of a prompt, on average, the tokens in whole KV blocks that other requests of its adapter begin with, too.

    While an adapter is in flight they are in the KV cache, once. For the estimate they are always: prefixes that were
    evicted while nobody asked are computed again.
    """
    if mix.shared_prefix is None:
        return 0.0
    return float(mix.rate @ (mix.shared_prefix // block_size * block_size)) / float(mix.rate.sum())


class _BaseTraffic(NamedTuple):
    """Requests that name no adapter."""

    arriving: float
    """Requests/s."""
    answered: float
    """Answer tokens/s; times the time of a step, its requests that run."""
    tokens: float
    """Prompt and answer tokens/s that are computed."""
    context: float
    """KV tokens of a running request."""


def _base_traffic(mix: Workload, block_size: int) -> _BaseTraffic:
    if mix.base is None or not mix.base.rate.any():
        return _BaseTraffic(0.0, 0.0, 0.0, 0.0)
    base, rate = mix.base, float(mix.base.rate.sum())
    computed = base.offered_tok_s - rate * shared_tokens(base, block_size)
    return _BaseTraffic(rate, float(base.rate @ base.output_mean), computed, held_tokens(base))


class Prompts(NamedTuple):
    """Prompts that come together in a step; shape (rules, n) or a number each."""

    together: Floats | float
    """How many, on average."""
    mean: float
    """Tokens that are computed of one."""
    square: float
    """Mean square of these tokens."""


def _prompts(traffic: Workload, block_size: int) -> Prompts:
    share = traffic.rate / traffic.rate.sum()
    mean = float(share @ traffic.input_mean)
    kept = 1 - shared_tokens(traffic, block_size) / mean
    return Prompts(1.0, kept * mean, kept**2 * float(share @ (traffic.input_mean**2 + traffic.input_std**2)))


def eager_tokens(over: Floats, prompts: Prompts, budget: int) -> Floats:
    """Tokens of a step beyond the largest graph, on average over steps; `over` are those that decode less the graph's.

    Prompts come one by one: in most steps there is none, and the others are long. With Poisson arrivals,
    1 - exp(-together) of the steps have some. What these have beyond the graphs is taken as of a normal distribution
    (by the logistic approximation). Prompts longer than the token budget come in as many steps.
    """
    chunks = np.maximum(prompts.square / prompts.mean / budget, 1.0)
    count, mean, square = prompts.together * chunks, prompts.mean / chunks, prompts.square / chunks**2
    some = np.maximum(-np.expm1(-count), 1e-12)
    tokens = count * mean / some
    spread = np.sqrt(np.maximum((count * square + (count * mean) ** 2) / some - tokens**2, 0.0)) + 1.0
    return some * _positive_part(over + tokens, spread) + (1 - some) * np.maximum(over, 0.0)


def _positive_part(mean: Floats, deviation: Floats) -> Floats:
    """Mean of what is above 0 of normally distributed numbers (logistic approximation)."""
    width = deviation / 1.702
    return width * np.logaddexp(0.0, mean / width)


class LoraCost(NamedTuple):
    """What LoRA adds to a step with so many slots; shape (rules, n) each."""

    base_ms: Floats
    per_batched_token_ms: Floats
    """For tokens of base traffic as well, as slots are tiled for them, too."""
    per_token_ms: Floats
    """For tokens of adapters' requests, what is for all tokens included."""
    per_adapter_ms: Floats


def lora_cost(step: Step, max_lora_rank: int, slots: Floats, tokens: Floats, variance: Floats) -> LoraCost:
    """Mean over batches around one of so many `tokens`, with that variance, as if normally distributed."""
    rank_tiles = lora_kernels.rank_tiles(max_lora_rank)
    split = _normal_cdf((lora_kernels.SPLIT_TOKENS - tokens) / (np.sqrt(variance) + 1.0))
    parts = split + (1 - split) * lora_kernels.SPLIT_LARGE / lora_kernels.SPLIT
    work = split + (1 - split) * lora_kernels.LARGE_WORK
    shrink_base, shrink_slope = _stairs(tokens, lora_kernels.SHRINK_TOKENS)
    expand_base, expand_slope = _stairs(tokens, lora_kernels.EXPAND_TOKENS)
    shrink_ms, expand_ms = step.per_slot_shrink_ms * rank_tiles * parts * slots, step.per_slot_expand_ms * slots
    batched_ms = shrink_ms * shrink_slope + expand_ms * expand_slope
    return LoraCost(
        base_ms=shrink_ms * shrink_base + expand_ms * expand_base,
        per_batched_token_ms=batched_ms,
        per_token_ms=step.lora_per_token_ms + step.per_split_token_ms * rank_tiles * split + batched_ms,
        per_adapter_ms=step.per_adapter_ms
        + step.per_adapter_shrink_ms * rank_tiles * work
        + step.per_adapter_expand_ms * (expand_base + expand_slope * tokens),
    )


def _stairs(tokens: Floats, tile: int) -> tuple[Floats, Floats]:
    """`ceil(tokens / tile)` as a line over the tokens, (at 0, slope): half a tile above, and never less than one."""
    one = tokens < tile / 2
    return np.where(one, 1.0, 0.5), np.where(one, 0.0, 1.0 / tile)


def _up_to_full(found: Equilibria, fullness: Floats) -> Equilibria:
    """The equilibria up to where the fullness (of memory, batch or slots) passes 1, that point included."""
    index = np.arange(len(fullness))
    end = np.interp(1.0 + 1e-9, np.maximum.accumulate(fullness), index)
    below = index < end

    def cut(values: Floats) -> Floats:
        return np.maximum.accumulate(np.append(values[below], np.interp(end, index, values)))

    return Equilibria(cut(found.adapters), cut(found.step_s), cut(found.active_adapters), cut(found.slots))


def _presence(mix: Workload) -> tuple[Floats, Floats, Floats]:
    """By step time: the share of adapters in flight, its variance, the share of requests whose adapter is not."""
    excess = np.maximum(mix.cv**2 - 1, 1e-9)
    bursts = mix.rate * np.log1p(excess) / excess
    traffic = np.sort(bursts * mix.output_mean)
    groups = np.array_split(traffic, min(len(traffic), GROUPS))
    mean, weight = np.array([group.mean() for group in groups]), np.array([len(group) for group in groups]) / len(mix)
    absent = np.exp(-np.outer(STEP_S, mean))
    first = float(bursts.sum() / mix.rate.sum()) * weight * mean / float(weight @ mean)
    return 1 - absent @ weight, absent * (1 - absent) @ weight, absent @ first


def _normal_cdf(x: Floats) -> Floats:
    """The normal distribution function, within 0.01 (logistic approximation)."""
    return 1.0 / (1.0 + np.exp(np.clip(-1.702 * x, -50.0, 50.0)))
