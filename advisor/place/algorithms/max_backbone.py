"""Baseline: as many adapters as the throughput without LoRA allows (MaxBackbone; Agulló et al. 2026).

Whoever has only measured the backbone does that; adapters are taken to cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from advisor.features.estimate import estimate
from advisor.features.served_mix import ServedMix
from advisor.place.algorithms.items import items_of
from advisor.place.judge.servers import Servers
from advisor.place.placement import Group
from twin.profile import LORA_TERMS


def max_backbone(servers: Servers) -> Iterator[list[Group]]:
    """Adapters as they come, until a GPU without LoRA would be full."""
    items, mix = items_of(servers), servers.mix()
    profile = servers.problem.gpu_types[0].pair.profile
    step = profile.step.model_copy(update=dict.fromkeys(LORA_TERMS, 0.0))
    loading = profile.loading.model_copy(update={"memory_base_ms": 0.0, "memory_per_rank_ms": 0.0})
    memory = profile.memory.model_copy(update={"kv_tokens_per_slot": 0.0, "kv_tokens_per_slot_rank": 0.0})
    backbone = profile.model_copy(update={"step": step, "loading": loading, "memory": memory})
    asked = mix.take(np.flatnonzero(mix.rate > 0))
    if not len(asked):
        yield [items.group(items.free)]
        return
    serves = asked.offered_tok_s / len(asked) * estimate(ServedMix(asked, backbone)).max_adapters
    load = (mix.rate * (mix.input_mean + mix.output_mean))[items.adapter] * items.weight
    groups: list[Group] = []
    start, order = 0, items.free
    while start < len(order) and len(groups) < (servers.problem.gpus or len(order)):
        size = int(np.searchsorted(np.cumsum(load[order[start:]]), serves, side="right"))
        groups.append(items.group(order[start : start + max(size, 1)]))
        start += max(size, 1)
    yield groups
