"""A server at work, in closed form: what is in flight, and how long a step takes that has more in it than usual."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twin import lora_kernels
from twin.profile import Profile
from twin.settings import Settings

if TYPE_CHECKING:
    from advisor.recommend.choice.configuration import Configuration
    from advisor.zoo.pair import Pair

_P99 = 2.326
"""Of a standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Load:
    """A server at work."""

    profile: Profile
    settings: Settings
    values: Mapping[str, float]
    itl_ms: float
    ttft_ms: float
    one_token: bool = False
    """Whether the first token ends every answer."""
    mates: float = 0.0
    """Others that a request to a group of adapters is asked at the same moment with, on average."""

    @property
    def running(self) -> float:
        """Requests that are answered at a time (Little's law)."""
        return self.values["rate"] * self.values["output_mean"] * self.itl_ms / 1e3

    @property
    def in_flight(self) -> float:
        """These, and those whose prompts are computed or wait for that: what arrives until an answer is complete."""
        return self.running + self.values["rate"] * (self.ttft_ms - self.itl_ms) / 1e3

    @property
    def active(self) -> float:
        """Adapters among them."""
        return min(self.values["active_adapters"], self.settings.max_loras)

    @property
    def long_prompt(self) -> float:
        """Tokens to compute that one prompt in a hundred exceeds, if prompts are log-normal: beyond a shared prefix."""
        mean, variance = self.values["input_mean"], math.log1p(self.values["input_spread"] ** 2)
        cached = mean * self.values["prefix_share"]
        return max(mean * math.exp(_P99 * math.sqrt(variance) - variance / 2) - cached, 1.0)

    @property
    def group_tokens(self) -> float:
        """Tokens to compute of all prompts of a group that is asked at the same moment."""
        return (1.0 + self.mates) * self.values["input_mean"] * (1.0 - self.values["prefix_share"])

    def step_ms(self, tokens: float, running: float, slots: float | None = None, active: float | None = None) -> float:
        """A step of so many tokens, of which so many are of requests that are answered, of so many adapters."""
        step, scheduling = self.profile.step, self.profile.scheduling
        max_lora_rank, tiles = self.settings.max_lora_rank, lora_kernels.rank_tiles(self.settings.max_lora_rank)
        per_adapter = step.per_adapter_ms + step.per_adapter_expand_ms * lora_kernels.expand_tiles(tokens)
        per_adapter += step.per_adapter_shrink_ms * tiles * lora_kernels.shrink_work(tokens)
        per_token = step.lora_per_token_ms + step.per_split_token_ms * tiles * lora_kernels.is_split(tokens)
        of_slots = step.slot_ms(max_lora_rank, tokens) * (slots or self.settings.max_loras)
        eager = step.per_eager_token_ms * max(tokens - step.graph_tokens, 0.0)
        requests = (step.per_request_ms + scheduling.per_request_ms) * running
        of_lora = of_slots + per_token * tokens + per_adapter * (self.active if active is None else active)
        return float(step.base_ms + scheduling.base_ms + requests + eager + of_lora)

    def prefill_ms(self, tokens: float, budget: int) -> tuple[float, float]:
        """Of so many prompt tokens, with up to `budget` a step: the longest step, and all of them together, ms."""
        running = self.running
        steps = math.ceil(tokens / max(budget - running, 1.0))
        longest = self.step_ms(min(budget, tokens + running), running)
        last = self.step_ms(tokens - (steps - 1) * (budget - running) + running, running)
        return longest, (steps - 1) * longest + last


def load_of(pair: Pair, configuration: Configuration, mates: float = 0.0) -> Load:
    """A server with these settings under the load that they are for; requests come with so many `mates`."""
    expected = configuration.expected
    return Load(
        pair.profile,
        configuration.settings,
        configuration.values,
        expected.itl_ms,
        expected.ttft_ms,
        expected.one_token,
        mates,
    )
