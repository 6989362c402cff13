"""A Profile as it is on a server that is launched with certain settings."""

from __future__ import annotations

from collections.abc import Mapping

from twin.profile import Profile
from twin.settings import LORA_RANKS


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


def refusal(fixed: Mapping[str, int | float], profile: Profile) -> str:
    """Why vLLM would not start with these settings, the others as they are by default; empty where it would."""
    slots = int(fixed.get("max_loras", 1))
    try:
        profile.settings(
            max_loras=slots,
            max_cpu_loras=int(fixed.get("max_cpu_loras", slots)),
            max_lora_rank=int(fixed.get("max_lora_rank", LORA_RANKS[-1])),
            others={name: value for name, value in fixed.items() if "lora" not in name},
        )
    except ValueError as error:
        return str(error)
    return ""
