"""What the memory of a GPU holds, as parts of a bar."""

from __future__ import annotations

from typing import NamedTuple

from twin.profile import Profile
from twin.settings import Settings


class Part(NamedTuple):
    """A part of a GPU's memory."""

    kind: str
    """Its class in the page's style."""
    name: str
    percent: float
    """Of the whole memory."""
    note: str = ""


def memory_parts(settings: Settings, profile: Profile) -> list[Part]:
    """What a server takes of the memory; none where the Profile does not tell how much there is.

    Tokens of KV cache are what a Profile counts it in.
    """
    memory, whole = profile.memory, profile.memory.kv_tokens_per_utilization
    if not whole:
        return []
    kv = memory.kv_capacity_tokens(settings.max_loras, settings.max_lora_rank, settings.gpu_memory_utilization)
    without = memory.kv_capacity_tokens(0, settings.max_lora_rank, settings.gpu_memory_utilization)
    return [
        Part("weights", "weights and activations", _percent(settings.gpu_memory_utilization - without / whole)),
        Part(
            "slots",
            f"{settings.max_loras:,} adapter slots",
            _percent((without - kv) / whole),
            f"rank {settings.max_lora_rank}",
        ),
        Part("kv", "KV cache", _percent(kv / whole), f"{kv:,} tokens"),
        Part("free", "left free", _percent(1 - settings.gpu_memory_utilization)),
    ]


def _percent(share: float) -> float:
    return round(100 * share, 1)
