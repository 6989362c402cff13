"""What the models see of a set of adapters on a server: one definition, used in training and in serving.

Every feature is a number that means the same on any GPU: a count, tokens of a request, seconds that somebody waits, or
a share of what the Profile says is possible (see `estimate`). So the models learn by how much serving differs from the
estimate, and answer for Profiles that they have never seen. *Mix* features do not change when the same mix is scaled to
more adapters, so an admission limit can be asked of the mix alone; *load* features also depend on how many adapters are
served, *slots* features on how many slots there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from advisor.features import queueing
from advisor.features.estimate import Estimate, Estimates, estimate_slots, estimates
from advisor.features.presence import peakedness
from advisor.features.queueing import Number, dispersion, queue_time, utilisation
from advisor.features.served_mix import ServedMix
from advisor.features.tokens import shared_tokens
from advisor.features.waits import LEAST_DEVIATION, waits
from twin.profile import Profile
from twin.workload import Workload

Floats = NDArray[np.float64]

INVENTORY: dict[str, str] = {
    "adapters": "served adapters N",
    "rate_mean": "requests/s per adapter",
    "token_rate_mean": "tokens/s per adapter",
    "rate": "requests/s, of all adapters together",
    "token_rate": "offered tokens/s",
    "rank_max": "largest rank",
    "input_mean": "tokens per request",
    "output_mean": "tokens per request",
    "cv_mean": "gap variation, weighted by rate",
    "base_share": "of token_rate, what names no adapter",
    "prefix_share": "of prompt tokens, those in whole KV blocks that an adapter's prompts share",
}
"""What can be read off an inventory."""
LIMITS: dict[str, str] = {
    "ttft_limit": "s",
    "estimated_load": "tokens/s, the most in equilibrium",
    "saturated_load": "tokens/s, the most in equilibrium if requests may wait for slots",
    "steady_load": "tokens/s, estimated_load less by a standard deviation over ttft_limit and half an answer's time",
    "dispersion": "tokens, variance / mean of those that arrive",
}
"""What is asked, and what answers are multiples of."""
PROPORTIONS: dict[str, str] = {
    "rate_spread": "standard deviation of the adapters' rates / mean",
    "rate_peak": "highest rate of an adapter / mean",
    "rank_share": "mean rank / the rank that slots are made for",
    "input_spread": "standard deviation of prompts / mean",
    "output_spread": "standard deviation of answers / mean",
    "input_differs": "longest mean prompt of an adapter / mean",
    "output_differs": "longest mean answer of an adapter / mean",
}
"""Of the adapters of a mix, whatever its size; read off the inventory, too."""
OF_MIX: dict[str, str] = {
    "saturated_share": "saturated_load / estimated_load",
    "dispersion_time": "s of estimated_load, variance / mean of the tokens that arrive",
    "answer_time": "s per answer at estimated_load",
    "prompt_time": "s to compute a mean prompt by itself",
    "burst_time": "s that prompts of a burst wait for each other, on average",
    "hour_requests": "requests within an hour at estimated_load",
    "prompt_residual": "s that a prompt which comes during another waits for it, on average",
    "chunks": "mean prompt / max_num_batched_tokens",
    "limit_adapters": "adapters at estimated_load",
    "limit_running": "running requests at estimated_load",
    "limit_active_share": "of the adapters at estimated_load, those with a request in flight",
    "limit_step": "time of a step at estimated_load / of an empty one",
    "limit_kv": "share of the KV cache held at estimated_load",
    "limit_seats": "running requests at estimated_load / max_num_seqs",
    "limit_budget": "batched tokens at estimated_load / max_num_batched_tokens",
    "limit_graphs": "batched tokens at estimated_load / graph_tokens",
    "limit_slots": "slots at estimated_load / the most that memory allows",
    "limit_busiest": "requests in flight of the busiest adapter at estimated_load",
    "kv_requests": "requests that the KV cache holds",
    "load_time": "time to load an adapter from host memory / of an empty step",
    "async_scheduling": "1 where a step is scheduled while the one before it runs",
}
"""What the Profile makes of a mix, whatever its size."""
OF_LOAD: dict[str, str] = {
    "load_share": "token_rate / estimated_load",
    "active_adapters": "adapters with a request in flight, estimated",
    "active_share": "active_adapters / adapters",
    "running": "running requests, estimated",
    "prompt_load": "share of the time that prompts are computed, beyond what steps take anyway",
    "estimated_slots": "adapter slots that make steps shortest, estimated",
}
"""Of so many adapters of a mix."""
OF_SLOTS: dict[str, str] = {
    "max_loras": "adapter slots G",
    "slots_share": "active_adapters / max_loras",
    "slots_load_share": "token_rate / the most tokens/s in equilibrium with that many slots, for which requests wait",
    "slots_per_adapter": "max_loras / adapters",
    "slots_step": "time of a step with that many slots / of an empty one",
    "slots_kv": "share of the KV cache held with that many slots",
    "slots_running": "running requests with that many slots, estimated",
    "slots_spare": "slots free, in standard deviations of the adapters in flight with that many",
    "kv_spare": "KV cache free, in standard deviations of what is held",
    "seats_spare": "seats of max_num_seqs free, in standard deviations of the running requests",
    "held_up": "share of the time that the front end holds tokens up",
    "held_up_time": "s of such a hold-up",
    "queue_time": "s of work that chance piles up within an hour",
    "buffer_time": "s of work that the batch has room for beyond what runs",
    "wait_time": "s of work for which it has none",
    "peakedness": "variance / mean of the running requests",
    "slot_wait": "s that requests wait for a slot, on average over an hour",
    "kv_wait": "s that they wait for room in the KV cache",
    "seat_wait": "s that they wait for a seat of max_num_seqs",
    "prompt_wait": "s that they wait for prompts before them",
}
"""Of so many adapters with so many slots."""
TIMES: dict[str, str] = {
    "steady_share": "steady_load / estimated_load",
    "steady_load_share": "token_rate / steady_load",
    "prompt_share": "prompt_time / ttft_limit",
    "dispersion_share": "dispersion_time / (ttft_limit + answer_time / 2)",
    "first_token_share": "first_token_time / ttft_limit",
}
"""What depends on the limit of the TTFT as well."""
SCALES: dict[str, str] = {
    "step_time": "ms per step with that many slots, estimated",
    "first_token_time": "ms of a step, of a mean prompt, of all four waits and of hold-ups",
}
"""What predicted times are multiples of."""
UNITS: dict[str, str] = {**INVENTORY, **LIMITS, **PROPORTIONS, **OF_MIX, **OF_LOAD, **OF_SLOTS, **TIMES, **SCALES}
"""Every feature and its unit (empty: a pure number)."""

ESTIMATES: tuple[str, ...] = (*list(LIMITS)[1:], *OF_MIX, *OF_LOAD, *OF_SLOTS, *TIMES, *SCALES)
"""What the Profile makes of a mix; the other features are read off an inventory, or asked."""
_READ = ("rank_max", "input_mean", "output_mean", "cv_mean", "base_share", "prefix_share", *PROPORTIONS)
MIX_FEATURES: tuple[str, ...] = (*_READ, *OF_MIX, "ttft_limit", "steady_share", "prompt_share", "dispersion_share")
"""What the admission limit depends on."""
SLOTS_FEATURES: tuple[str, ...] = (*MIX_FEATURES, "adapters", *OF_LOAD, "steady_load_share")
"""What the choice of slots depends on."""
SERVING_FEATURES: tuple[str, ...] = (*_READ, *OF_MIX, "adapters", *OF_LOAD, *OF_SLOTS, *SCALES)
"""What throughput, ITL and TTFT of a given configuration depend on."""
STEADY_FEATURES: tuple[str, ...] = (*SERVING_FEATURES, "ttft_limit", *TIMES)
"""What the chance of a steady hour depends on."""


class Measured:
    """The features of a mix on a server, all its adapters served; those with some number of slots as they are asked."""

    def __init__(self, mix: Workload, profile: Profile, ttft_limit_s: float, slots_rank: int = 0) -> None:
        """Measure those that do not depend on the number of slots, which may be of a rank larger than they need."""
        self._estimates = estimates(ServedMix(mix, profile, slots_rank))
        (self.values,) = measure_limits(self._estimates, [ttft_limit_s])
        self._with_slots: dict[int, dict[str, float]] = {}

    def with_slots(self, max_loras: Sequence[int]) -> list[dict[str, float]]:
        """Every feature, with each of these numbers of slots."""
        new = sorted(set(max_loras) - self._with_slots.keys())
        if new:
            self._with_slots |= zip(new, measure_slots(self.values, self._estimates, new), strict=True)
        return [self._with_slots[slots] for slots in max_loras]


def measure(mix: Workload, profile: Profile, *, ttft_limit_s: float, max_loras: int | None = None) -> dict[str, float]:
    """Every feature of a mix that serves all its adapters; those of the slots only where `max_loras` is given."""
    measured = Measured(mix, profile, ttft_limit_s)
    return measured.values if max_loras is None else measured.with_slots([max_loras])[0]


def measure_limits(of: Estimates, ttft_limits_s: Sequence[float]) -> list[dict[str, float]]:
    """The features of a mix under each of these limits, those of the slots left out.

    Means, spreads and burstiness of requests weigh busy adapters more; smallest and largest are of adapters. Base
    traffic counts as requests, but as no adapter.
    """
    served, equilibria, mix, profile = of.served, of.for_all, of.served.mix, of.served.profile
    traffic, load = served.traffic, served.load(equilibria.max_adapters)
    values = _of_inventory(served)
    values |= {"estimated_load": load, "saturated_load": served.load(of.waiting.max_adapters)}
    values["dispersion"] = dispersion(traffic)
    values |= _of_mix(values, served)
    values |= _of_limit(values, served, equilibria)
    values |= _of_load(values, mix, profile, equilibria)
    found = []
    for limit_s in ttft_limits_s:
        times = under_limit(values, limit_s)
        found.append({**values, **times, "steady_load": load * times["steady_share"]})
    return found


def under_limit(values: Mapping[str, Number], ttft_limit_s: Number) -> dict[str, Number]:
    """The features that depend on the limit, but for `first_token_share`, given the others: numbers or arrays.

    What comes within a wait up to the limit and half an answer evens out.
    """
    dispersion_share = values["dispersion_time"] / (ttft_limit_s + values["answer_time"] / 2)
    share = utilisation(dispersion_share, 1.0)
    return {
        "ttft_limit": ttft_limit_s + 0 * share,
        "steady_share": share,
        "steady_load_share": values["load_share"] / share,
        "prompt_share": values["prompt_time"] / ttft_limit_s,
        "dispersion_share": dispersion_share,
    }


def measure_slots(values: Mapping[str, float], of: Estimates, max_loras: Sequence[int]) -> list[dict[str, float]]:
    """Every feature of a mix for each of these numbers of slots, given those that do not depend on them."""
    served, mix, profile = of.served, of.served.mix, of.served.profile
    empty_ms, rank = profile.step.base_ms, served.slots_rank
    request_tokens = served.request_tokens
    computed, steps = _prompt(values, profile)
    slot_ms = steps * profile.step.slot_ms(rank, computed / steps)  # of a prompt
    found = []
    for slots, with_slots in zip(max_loras, estimate_slots(served, max_loras, of.waiting), strict=True):
        state = with_slots.serving(len(mix))
        step_ms, active = state.step_ms, state.active_adapters
        running = _running(values, step_ms)
        kv_tokens = max(_kv_tokens(profile, slots, rank), float(profile.memory.max_model_len))
        held = running * request_tokens
        come = max(values["cv_mean"], 1.0) * math.sqrt(max(running, 1e-3))  # standard deviation of who runs
        sizes = math.sqrt(1.0 + (values["input_spread"] ** 2 + values["output_spread"] ** 2) / 2)
        in_batch = min(active, slots)
        leaving = profile.front_end.merged_per_adapter * in_batch * (1 - in_batch / max(values["adapters"], in_batch))
        held_up = leaving / (1 + leaving)
        held_up_s = held_up * profile.front_end.stall_every_s
        load_share = values["token_rate"] / served.load(with_slots.max_adapters)
        room = min(kv_tokens / request_tokens, float(profile.serving.max_num_seqs)) - running
        buffer_s = max(room, 0.0) / values["rate"] * load_share  # of the most tokens/s
        queue_s = queue_time(values["dispersion_time"] * values["estimated_load"] / values["token_rate"], load_share)
        waited = waits(values, served, state, slots=slots, kv_tokens=kv_tokens)
        first_ms = (
            step_ms + slot_ms * slots + 1e3 * (values["prompt_time"] + sum(waited.values()) + held_up * held_up_s)
        )
        found.append(
            {
                **values,
                "max_loras": float(slots),
                "slots_share": values["active_adapters"] / slots,
                "slots_load_share": load_share,
                "slots_per_adapter": slots / values["adapters"],
                "slots_step": step_ms / empty_ms,
                "slots_kv": held / kv_tokens,
                "slots_running": running,
                "slots_spare": (slots - active) / max(state.deviation, LEAST_DEVIATION),
                "kv_spare": (kv_tokens - held) / (request_tokens * come * sizes),
                "seats_spare": (profile.serving.max_num_seqs - running) / come,
                "held_up": held_up,
                "held_up_time": held_up_s,
                "step_time": step_ms,
                "queue_time": queue_s,
                "buffer_time": buffer_s,
                "wait_time": queue_s * math.exp(-buffer_s / queue_s),
                "peakedness": state.peakedness,
                **waited,
                "first_token_time": first_ms,
                "first_token_share": first_token_share({**values, "first_token_time": first_ms}),
            }
        )
    return found


def first_token_share(values: Mapping[str, Number]) -> Number:
    """The feature of this name, given the others: numbers or arrays."""
    return values["first_token_time"] / (1e3 * values["ttft_limit"])


def vector(values: dict[str, float], names: Sequence[str]) -> NDArray[np.float32]:
    """The named features as one row, shape (1, len(names)), in the precision the ONNX models take."""
    return np.array([[values[name] for name in names]], dtype=np.float32)


def _of_inventory(served: ServedMix) -> dict[str, float]:
    mix, traffic = served.mix, served.traffic
    share = traffic.rate / traffic.rate.sum()
    token_rate, adapters, prompt = served.token_rate, len(mix), float(share @ traffic.input_mean)
    return {
        "adapters": float(adapters),
        "rate_mean": float(mix.rate.mean()),
        "token_rate_mean": (token_rate - mix.base_tok_s) / adapters,
        "rate": float(traffic.rate.sum()),
        "token_rate": token_rate,
        "rank_max": served.rank_max,
        "input_mean": prompt,
        "output_mean": float(share @ traffic.output_mean),
        "cv_mean": float(share @ traffic.cv),
        "base_share": mix.base_tok_s / token_rate,
        "prefix_share": shared_tokens(traffic, served.profile.memory.block_size) / prompt,
    }


def _of_mix(values: dict[str, float], served: ServedMix) -> dict[str, float]:
    """Proportions of a mix, and what the Profile says of single requests."""
    mix, traffic, profile = served.mix, served.traffic, served.profile
    share, step = traffic.rate / traffic.rate.sum(), profile.step
    prompt, answer = values["input_mean"], values["output_mean"]
    budget = profile.serving.max_num_batched_tokens
    computed, steps = _prompt(values, profile)
    prompt_ms = step.base_ms * steps + max(computed - step.graph_tokens * steps, 0.0) * step.per_eager_token_ms
    prompt_ms += step.lora_per_token_ms * computed
    square = float(share @ (traffic.input_mean**2 + traffic.input_std**2)) * (1 - values["prefix_share"]) ** 2
    loading = profile.loading
    return {
        "rate_spread": float(mix.rate.std()) / values["rate_mean"],
        "rate_peak": float(mix.rate.max()) / values["rate_mean"],
        "rank_share": float(mix.rank.mean()) / served.slots_rank,
        "input_spread": _pooled_std(share, traffic.input_mean, traffic.input_std, prompt) / prompt,
        "output_spread": _pooled_std(share, traffic.output_mean, traffic.output_std, answer) / answer,
        "input_differs": float(mix.input_mean.max()) / prompt,
        "output_differs": float(mix.output_mean.max()) / answer,
        "saturated_share": values["saturated_load"] / values["estimated_load"],
        "dispersion_time": values["dispersion"] / values["estimated_load"],
        "prompt_time": prompt_ms / 1e3,
        "burst_time": max(_together(traffic, prompt_ms / 1e3) - 1.0, 0.0) * prompt_ms / 1e3,
        "prompt_residual": square / computed / 2 * (step.per_eager_token_ms + step.lora_per_token_ms) / 1e3,
        "chunks": prompt / budget,
        "kv_requests": profile.memory.kv_tokens_base / served.request_tokens,
        "load_time": (loading.memory_base_ms + loading.memory_per_rank_ms * float(mix.rank.mean())) / step.base_ms,
        "async_scheduling": float(profile.behaviour.async_scheduling),
    }


def _together(traffic: Workload, prompt_s: float) -> float:
    """Requests that come at a time in a burst, as far as their prompts have to wait for each other."""
    for_one = float(peakedness(traffic, np.array([prompt_s]))[0])
    return float(peakedness(traffic, np.array([prompt_s * for_one]))[0])


def _prompt(values: Mapping[str, float], profile: Profile) -> tuple[float, float]:
    """Tokens that are computed of a mean prompt, and in how many steps."""
    computed = values["input_mean"] * (1 - values["prefix_share"])
    return computed, max(computed / profile.serving.max_num_batched_tokens, 1.0)


def _of_limit(values: dict[str, float], served: ServedMix, equilibria: Estimate) -> dict[str, float]:
    """How full the parts of a server are that works at its limit in equilibrium."""
    mix, profile = served.mix, served.profile
    adapters = equilibria.max_adapters
    state, rank = equilibria.serving(adapters), served.slots_rank
    step_s, memory, serving = state.step_ms / 1e3, profile.memory, profile.serving
    rate = values["rate"] * values["estimated_load"] / values["token_rate"]
    running = rate * values["output_mean"] * step_s
    tokens = values["estimated_load"] * step_s
    slot_tokens = memory.kv_tokens_per_slot_rank * rank + memory.kv_tokens_per_slot
    most_slots = max((memory.kv_tokens_base - memory.max_model_len) / max(slot_tokens, 1e-3), 1.0)
    kv_tokens = max(_kv_tokens(profile, state.slots, rank), float(memory.max_model_len))
    return {
        "answer_time": values["output_mean"] * step_s,
        "hour_requests": rate * queueing.HOUR_S,
        "limit_adapters": adapters,
        "limit_running": running,
        "limit_active_share": state.active_adapters / max(adapters, 1e-9),
        "limit_step": state.step_ms / profile.step.base_ms,
        "limit_kv": running * served.request_tokens / kv_tokens,
        "limit_seats": running / serving.max_num_seqs,
        "limit_budget": tokens / serving.max_num_batched_tokens,
        "limit_graphs": tokens / max(profile.step.graph_tokens, 1),
        "limit_slots": state.slots / most_slots,
        "limit_busiest": float((mix.rate * mix.output_mean).max()) * step_s,
    }


def _of_load(values: dict[str, float], mix: Workload, profile: Profile, equilibria: Estimate) -> dict[str, float]:
    state = equilibria.serving(len(mix))
    beyond_s = max(values["prompt_time"] - profile.step.base_ms / 1e3 * max(values["chunks"], 1.0), 0.0)
    return {
        "load_share": values["token_rate"] / values["estimated_load"],
        "active_adapters": state.active_adapters,
        "active_share": state.active_adapters / len(mix),
        "running": _running(values, state.step_ms),
        "prompt_load": values["rate"] * beyond_s,
        "estimated_slots": state.slots,
    }


def _running(values: Mapping[str, float], step_ms: float) -> float:
    """Requests in the batch, by Little's law."""
    return values["rate"] * values["output_mean"] * step_ms / 1e3


def _kv_tokens(profile: Profile, slots: float, rank: int) -> float:
    memory = profile.memory
    return memory.kv_tokens_base - slots * (memory.kv_tokens_per_slot_rank * rank + memory.kv_tokens_per_slot)


def _pooled_std(share: Floats, mean: Floats, std: Floats, pooled_mean: float) -> float:
    """Standard deviation over all requests: within adapters plus between them."""
    return math.sqrt(float(share @ (std**2 + (mean - pooled_mean) ** 2)))
