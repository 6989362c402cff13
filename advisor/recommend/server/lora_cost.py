"""What LoRA costs: the same traffic on the same GPU with LoRA off, where the base model would answer all of it."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.features.estimate import estimate, estimate_slots
from advisor.features.served_mix import ServedMix
from advisor.recommend.server.launched import with_settings
from twin.profile import Profile
from twin.settings import Settings
from twin.workload import Workload


@dataclass(frozen=True, slots=True)
class WithoutLora:
    """The server that would do without."""

    itl_ms: float
    """Mean inter-token latency, ms."""
    load_ratio: float
    """The most tokens/s of this mix, over those with LoRA."""


def without_lora(mix: Workload, profile: Profile, settings: Settings) -> WithoutLora:
    """What the Profile alone says of both, with these settings and without any slots."""
    # Of the memory that a GPU has on a part of it, and the longest sequence there, neither is the Profile's own.
    names = ("gpu_memory_utilization", "max_model_len", "max_num_seqs", "max_num_batched_tokens")
    profile = with_settings(profile, {name: getattr(settings, name) for name in names})
    served = ServedMix(mix, profile, settings.max_lora_rank)
    (lora,) = estimate_slots(served, [settings.max_loras])
    plain = estimate(ServedMix(mix, profile.without_lora()))
    return WithoutLora(
        plain.serving(len(mix)).step_ms, served.load(plain.max_adapters) / served.load(lora.max_adapters)
    )
