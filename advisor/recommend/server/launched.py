"""A Profile as it is on a server that is launched with certain settings."""

from __future__ import annotations

from collections.abc import Mapping

from twin.profile import Profile


def with_settings(profile: Profile, fixed: Mapping[str, int | float]) -> Profile:
    """The Profile as it is under fixed settings: other memory, other limits of a batch, another longest sequence."""
    memory, serving = profile.memory, profile.serving
    utilization = float(fixed.get("gpu_memory_utilization", memory.gpu_memory_utilization))
    gained = memory.kv_tokens_per_utilization * (utilization - memory.gpu_memory_utilization)
    return profile.model_copy(
        update={
            "memory": memory.model_copy(
                update={
                    "gpu_memory_utilization": utilization,
                    "kv_tokens_base": max(memory.kv_tokens_base + gained, 1.0),
                    "max_model_len": int(fixed.get("max_model_len", memory.max_model_len)),
                }
            ),
            "serving": serving.model_copy(
                update={name: int(fixed[name]) for name in ("max_num_seqs", "max_num_batched_tokens") if name in fixed}
            ),
        }
    )
