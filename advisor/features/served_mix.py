"""A mix on a server of a Profile: what all estimates of the two have in common, by step time.

Shapes are (n,), or (rules, n) where numbers of adapters are (see `advisor.features.estimate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.features.batches import Batches, Prompts, eager_tokens, kinds_of_batches, steps_with
from advisor.features.presence import evicted, presence, with_gamma_gaps
from advisor.features.tokens import held_tokens, shared_tokens
from twin.profile import Profile
from twin.settings import slot_rank
from twin.workload import Workload

Floats = NDArray[np.float64]

STEP_S = np.geomspace(1e-3, 30.0, 120)
"""Step times considered, s."""
LIMIT_STEP = 2.0
"""Times an empty step, that of a server near its limit: who is answered then log-normal gaps are to leave in flight."""


class ServedMix:
    """Adapters that are asked, beside base traffic, and the server that they are served on.

    `request_tokens` are the KV tokens of a running request and `token_rate` the tokens/s of all that comes, both base
    traffic included; `traffic` is all of it side by side. `missed` is the share of requests that miss their adapter, by
    slots per adapter. Adapters of as uneven rates are as few as `alike` ones. Slots are of rank `slots_rank`, and
    `rank_max` is the largest that there may be in them.
    """

    def __init__(self, mix: Workload, profile: Profile, slots_rank: int = 0) -> None:
        """Work out who is in flight, and what comes together, at every step time considered.

        Slots are as large as the largest rank needs, unless they are made for a larger `slots_rank`.
        """
        mix = with_gamma_gaps(mix, LIMIT_STEP * profile.step.base_ms / 1e3 * mix.output_mean)
        self.mix, self.traffic, self.profile = mix, mix.traffic, profile
        self.token_rate, self._base_tok_s = mix.offered_tok_s, mix.base_tok_s
        self.request_tokens = held_tokens(self.traffic)
        share, memory = mix.rate / mix.rate.sum(), profile.memory
        self.step_s = STEP_S
        self.rate = float(mix.rate.mean())
        self.alike = float(mix.rate.sum()) ** 2 / float(mix.rate @ mix.rate)
        self.prompt, self.answer = float(share @ mix.input_mean), float(share @ mix.output_mean)
        self.context = held_tokens(mix)
        self.shared = shared_tokens(mix, memory.block_size)
        self.presence = presence(mix, STEP_S)
        # A slot for each adapter, and none is loaded; between there and the longest time considered by the line.
        self.missed = np.append(self.presence.asked, 1.0), np.append(self.presence.longer, 0.0)
        self.base = _base_traffic(mix, memory.block_size)
        self.evicted = evicted(mix, memory.block_size)
        largest = float(mix.rank.max())
        self.slots_rank = max(slot_rank(largest), slots_rank)
        self.rank_max = float(slots_rank) if slots_rank > slot_rank(largest) else largest
        self.slot_tokens = memory.kv_tokens_per_slot_rank * self.slots_rank + memory.kv_tokens_per_slot
        self.most_slots = max((memory.kv_tokens_base - memory.max_model_len) / max(self.slot_tokens, 1e-3), 1.0)
        self.load_ms = profile.loading.memory_base_ms + profile.loading.memory_per_rank_ms * float(mix.rank.mean())
        self.come = _Steps(
            self.base,
            _prompts(self.traffic, memory.block_size),
            self.answer,
            self.shared * mix.rate.sum() / self.traffic.rate.sum(),
            profile,
        )
        self.eager_of_base, _ = self.come.at(0.0, 0.0, STEP_S)
        self.left_by_base = _left_by_base(self.base, profile, self.eager_of_base, STEP_S)

    def load(self, adapters: float) -> float:
        """Tokens/s when so many adapters of the mix are served, beside the base traffic."""
        return self._base_tok_s + (self.token_rate - self._base_tok_s) * adapters / len(self.mix)


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


def _prompts(traffic: Workload, block_size: int) -> Prompts:
    share = traffic.rate / traffic.rate.sum()
    mean = float(share @ traffic.input_mean)
    kept = 1 - shared_tokens(traffic, block_size) / mean
    return Prompts(1.0, kept * mean, kept**2 * float(share @ (traffic.input_mean**2 + traffic.input_std**2)))


@dataclass(frozen=True, slots=True)
class _Steps:
    """What comes together in steps, of adapters beside base traffic."""

    base: _BaseTraffic
    prompts: Prompts
    answer: float
    """Tokens of adapters' answers."""
    alike: float
    """Tokens that prompts begin alike with."""
    profile: Profile

    def of(self, served: Floats | float, again: Floats | float, step_s: Floats) -> tuple[Floats, Prompts]:
        """Tokens that are decoded, and prompts, of a step of that time with so many requests of adapters, when that
        share of what their prompts begin alike with is computed again.
        """
        longer = 1 + again * self.alike / self.prompts.mean
        return (
            served * self.answer + self.base.answered * step_s,
            Prompts(served + self.base.arriving * step_s, longer * self.prompts.mean, longer**2 * self.prompts.square),
        )

    def at(self, served: Floats | float, again: Floats | float, step_s: Floats) -> tuple[Floats, Batches]:
        """Tokens of such a step beyond the largest graph, on average, and such steps of both kinds."""
        decoding, prompts = self.of(served, again, step_s)
        budget = self.profile.serving.max_num_batched_tokens
        steps = steps_with(prompts, budget)
        return (
            eager_tokens(decoding - self.profile.step.graph_tokens, steps),
            kinds_of_batches(decoding, steps, budget),
        )


def _left_by_base(base: _BaseTraffic, profile: Profile, eager: Floats, step_s: Floats) -> Floats:
    """ms that are left of steps beside what base traffic takes without LoRA, and the step itself; shape (n,)."""
    step, scheduling = profile.step, profile.scheduling
    answering = base.answered * (step.per_request_ms + scheduling.per_request_ms)
    each = 1e3 - answering - base.arriving * scheduling.per_arrival_ms
    return each * step_s - step.base_ms - scheduling.base_ms - step.per_eager_token_ms * eager
