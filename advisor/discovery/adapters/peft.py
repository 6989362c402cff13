"""A PEFT adapter's `adapter_config.json` as vLLM reads it.

Which keys count, and what is refused, is that of `PEFTHelper` in vLLM 0.32; 0.8.5 refuses the same and more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advisor.inventory.schema import MAX_RANK

_SAVED = {"classifier", "score"}
"""Modules that `modules_to_save` may hold: heads of classifiers, which vLLM loads by itself."""
_INITIAL = {"pissa": "PiSSA", "olora": "OLoRA", "corda": "CorDA", "loftq": "LoftQ"}
"""Ways to initialise that change the base model's weights, so that the adapter does not fit the original."""
_HARMLESS = {"gaussian", "eva", "orthogonal", "mica", "lora_ga"}
"""Ways to initialise, apart from true and false, that leave the base model as it is."""
_KINDS = {
    "use_dora": "DoRA", "alora_invocation_tokens": "an activated LoRA", "layer_replication": "replicated layers",
    "use_bdlora": "a block-diagonal LoRA", "use_qalora": "QALoRA",
}  # fmt: skip
"""Keys that make another kind of adapter."""


_LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
"""Modules of a layer, as most models call them."""


class NotServedError(Exception):
    """vLLM does not serve such an adapter; the message says why, in one line."""


class NoLoraError(NotServedError):
    """It is an adapter of another kind."""


def rank_of(config: Mapping[str, Any]) -> int:
    """The rank that vLLM gives an adapter with this configuration: the largest of `r` and `rank_pattern`.

    Raises:
        NotServedError: vLLM refuses it, or no slot is large enough.
    """
    kind = config.get("peft_type")
    if isinstance(kind, str) and kind.upper() != "LORA":
        raise NoLoraError(f"no LoRA but {kind}")
    for key in ("r", "lora_alpha", "target_modules"):
        if key not in config:
            raise NotServedError(f"{key} is missing, which vLLM needs")
    if isinstance(alpha := config["lora_alpha"], bool) or not isinstance(alpha, int | float):
        raise NotServedError(f"lora_alpha is {str(alpha)[:40]!r}, but must be a number")
    rank, pattern = _whole(config["r"], "r"), config.get("rank_pattern") or {}
    if not isinstance(pattern, Mapping):
        raise NotServedError("rank_pattern is no table of modules and ranks")
    rank = max([rank, *(_whole(each, f"rank_pattern of {module!r}") for module, each in pattern.items())])
    if reason := _refused(config):
        raise NotServedError(reason)
    if rank > MAX_RANK:
        raise NotServedError(f"rank {rank}, above {MAX_RANK}, the largest that vLLM has slots for")
    return rank


def modules_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules that an adapter touches, where they are few; empty where they are all, or named by a pattern."""
    targets = config.get("target_modules")
    if not isinstance(targets, list) or not all(isinstance(each, str) for each in targets):
        return ()
    names = {each.rpartition(".")[2] for each in targets}
    few = names and all(map(str.isidentifier, names)) and not names >= _LINEAR
    return tuple(sorted(names)) if few else ()


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise NotServedError(f"{what} is {str(value)[:40]!r}, but must be a whole number from 1 on")
    return value


def _refused(config: Mapping[str, Any]) -> str | None:
    """Why vLLM refuses such an adapter whatever its rank, or None."""
    for key, kind in _KINDS.items():
        if config.get(key):
            return f"{kind} ({key}), which vLLM does not serve"
    saved = config.get("modules_to_save") or []
    if others := [
        str(each)
        for each in (saved if isinstance(saved, list) else [saved])
        if str(each) not in _SAVED or not isinstance(saved, list)
    ]:
        return f"modules_to_save ({', '.join(others)[:80]}): whole modules beside the LoRA, which vLLM does not serve"
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        return "a bias beside the LoRA (bias or lora_bias), which vLLM does not serve"
    way = config.get("init_lora_weights")
    if not isinstance(way, str) or way.lower() in _HARMLESS:
        return None
    if name := _INITIAL.get(way.lower().split("_")[0]):
        return f"initialised by {name}, which changes the base model's weights; vLLM has the original ones"
    return f"init_lora_weights is {way[:40]!r}, which vLLM does not know"
