"""Which Profile each mix of a campaign is served under: a pair's own, or one drawn from all that a GPU may be.

Models that are to answer for Profiles never seen learn from many: a share of the mixes is served under the measured
ones, every other under one whose constants are drawn. They go together as they do in reality: the weights decide how
long a step is at least, and the other terms of a step are drawn as multiples of that; so are the KV cache and how much
of it a slot takes. The ranges hold what `advisor.derive` makes of its catalogue, and reach beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from advisor.features.estimate import estimate
from advisor.features.served_mix import ServedMix
from model_zoo.campaign.grid import TYPICAL, Recipe
from twin.behaviour import VERSIONS
from twin.profile import LORA_TERMS, FrontEnd, Loading, Memory, Profile, Scheduling, Serving, Step

COMMON = "common"
"""What models of many Profiles are called, where those of one have the name of its pair."""
MEASURED_SHARE = 1 / 3
"""Of the mixes, those served under measured Profiles, which most answers are asked of."""

BASE_MS = (2.5, 100.0)
"""Of a step: from a model of a billion parameters on the fastest GPU to one of 70 billion on few slow ones."""
PER_REQUEST = (2e-4, 5e-2)
"""ms a request, over ms of the base step: a token's arithmetic and its context over the reading of all weights."""
KNEE_TOKENS = (16.0, 1024.0)
"""Batched tokens at which arithmetic takes as long as the weights' reading: few where weights are packed or arithmetic
is slow. Beyond, or beyond the largest graph, steps grow by the token."""
GRAPH_TOKENS = 512
"""Batched tokens of the largest CUDA graph that vLLM captures by default."""
READING = (0.15, 1.1)
"""Of a base step, the part that the weights' reading takes; the rest is the host's."""
OF_LORA = (0.12, 3.0)
"""Times those of the measured Profile, per ms of the base step: LoRA's costs go with layers, as the base step does."""
APART = 0.4
"""Standard deviation of the logarithms by which single costs of LoRA differ from the others."""
KV_TOKENS = (6e3, 2.5e7)
SLOT_RANK_TOKENS = (8.0, 500.0)
"""KV tokens that a slot takes for each of its ranks: its bytes over those of a token of the KV cache."""
LEAST_SLOTS = 8
"""Slots of rank 16 that fit into the memory at least, beside one request of the longest sequence."""
LOADING = (0.1, 5.0)
"""Times the measured."""
CONTEXTS = (2048, 4096, 8192, 16384, 32768, 131072)
"""Longest sequences of models, tokens."""
TAIL = (4.0, 8.0)
"""Times the mean length of a mix is what sequences are allowed at least. With 8 hardly any request is refused; with 4
it is one in a hundred, but a KV cache may be so small that it holds a handful of requests, as on a shared GPU."""
CURRENT_VLLM = "0.33.0"
SERVING = (
    Serving(max_num_seqs=256, max_num_batched_tokens=2048),
    Serving(max_num_seqs=1024, max_num_batched_tokens=8192),
    Serving(max_num_seqs=2048, max_num_batched_tokens=2048),
)
"""Defaults of vLLM on small and large GPUs, and those that the papers measured under."""
HELD_UP = 0.5
"""Share of the Profiles drawn whose front end holds tokens up, as vLLM 0.8.5 does."""


@dataclass(frozen=True, slots=True)
class Profiles:
    """The Profiles of a campaign."""

    measured: tuple[Profile, ...]
    """In turn for the mixes that are served under them; all others are drawn around the first."""
    drawn: bool = False
    """Whether most mixes have a Profile of their own."""
    seed: int = 0

    @property
    def name(self) -> str:
        """What models of them are called."""
        return COMMON if self.drawn else self.measured[0].pair.name

    def of(self, recipe: Recipe) -> Profile:
        """The Profile that a mix is served under."""
        if not self.drawn:
            return self.measured[recipe.number % len(self.measured)]
        random = np.random.default_rng([self.seed, recipe.number, 7])
        longest = float(random.uniform(*TAIL)) * (recipe.lengths.input_mean + recipe.lengths.output_mean)
        holding = [each for each in self.measured if each.memory.max_model_len >= longest]
        if holding and random.uniform() < MEASURED_SHARE:
            return holding[random.integers(len(holding))]
        return draw(self.measured[0], longest, random)

    def suited(self, recipe: Recipe) -> Recipe:
        """The mix with rates that ask as much of its Profile as they would of the first measured one.

        Without, a small GPU would serve none of the adapters and a large one more than are tried.
        """
        profile, usual = self.of(recipe), self.measured[0]
        if profile in self.measured:
            return recipe
        alone = replace(recipe.adapters(TYPICAL), base=None)
        times = estimate(ServedMix(alone, profile)).max_adapters / estimate(ServedMix(alone, usual)).max_adapters
        return replace(recipe, rates=recipe.rates.scaled(float(f"{times:.3g}")))


def draw(like: Profile, longest: float, random: np.random.Generator) -> Profile:
    """A Profile at random that takes sequences of so many tokens; what is not drawn is as in `like`."""
    base_ms = _log_uniform(random, BASE_MS)
    held_up = random.uniform() < HELD_UP
    version = "0.8.5" if random.uniform() < 0.5 else CURRENT_VLLM
    return like.model_copy(
        update={
            "memory": _memory(like.memory, longest, random),
            "step": _step(like.step, base_ms, random),
            "scheduling": Scheduling(**_times(like.scheduling.model_dump(), _log_uniform(random, (0.5, 2.0)))),
            "loading": Loading(**_times(like.loading.model_dump(), _log_uniform(random, LOADING))),
            "front_end": like.front_end
            if held_up
            else FrontEnd(ttft_ms=like.front_end.ttft_ms, merged_per_adapter=0.0, merge_requests=0),
            "serving": SERVING[random.integers(len(SERVING))],
            "behaviour": VERSIONS[version],
            "fits": {},
            "provenance": None,
        }
    )


def _memory(like: Memory, longest: float, random: np.random.Generator) -> Memory:
    """A KV cache that holds a request of the longest sequence beside a few slots."""
    enough = [tokens for tokens in CONTEXTS if tokens >= longest] or CONTEXTS[-1:]
    kv_tokens = max(_log_uniform(random, KV_TOKENS), 2.0 * enough[0])
    per_slot_rank = min(_log_uniform(random, SLOT_RANK_TOKENS), kv_tokens / (2 * 16 * LEAST_SLOTS))
    allowed = [tokens for tokens in enough if tokens <= kv_tokens / 2]
    return like.model_copy(
        update={
            "kv_tokens_base": float(round(kv_tokens)),
            "kv_tokens_per_slot_rank": per_slot_rank,
            "kv_tokens_per_slot": 0.0,
            "kv_tokens_per_utilization": 2.0 * kv_tokens,
            "max_model_len": allowed[random.integers(len(allowed))],
        }
    )


def _step(like: Step, base_ms: float, random: np.random.Generator) -> Step:
    """A step of that base."""
    of_lora = base_ms / like.base_ms * _log_uniform(random, OF_LORA)
    terms = {name: getattr(like, name) * of_lora * float(np.exp(random.normal(0, APART))) for name in LORA_TERMS}
    knee = _log_uniform(random, KNEE_TOKENS)
    return like.model_copy(
        update={
            **terms,
            "graph_tokens": round(min(knee, GRAPH_TOKENS)),
            "base_ms": base_ms,
            "per_request_ms": base_ms * _log_uniform(random, PER_REQUEST),
            "per_eager_token_ms": base_ms * _log_uniform(random, READING) / knee,
        }
    )


def _times(section: Mapping[str, float], times: float) -> dict[str, float]:
    return {name: value * times for name, value in section.items()}


def _log_uniform(random: np.random.Generator, between: tuple[float, float]) -> float:
    return float(np.exp(random.uniform(*np.log(between))))
