"""What is read of a model's Hugging Face `config.json`: fields checked, and those left out as its class has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import tomli
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from advisor import input_file
from advisor.errors import InputError

MAX_BYTES = 4 * 1024**2
GATED = {
    *("llama", "mistral", "ministral3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "gemma3_text", "phi3"),
    *("granite", "exaone", "exaone4", "olmo", "olmo2", "olmo3", "smollm3", "internlm2", "internlm3", "baichuan"),
    *("stablelm", "cohere", "cohere2", "helium", "seed_oss", "aquila", "arcee", "glm", "glm4", "ernie4_5", "mistral3"),
    *("mixtral", "qwen2_moe", "qwen3_moe", "gpt_oss", "olmoe", "phimoe", "granitemoe", "minimax_m2", "ernie4_5_moe"),
}
"""Model types built as Llama is: attention with grouped heads, and a gated MLP of three matrices or experts of such."""
FULL = ("full_attention", "attention")
"""What layer_types calls layers that look back to the first token."""
LOOKING_BACK = (*FULL, "sliding_attention", "chunked_attention")
"""Types of layers whose cost is known: those, and ones that look back no further than a window or chunk."""
_TOGETHER = ("text_config", "language_config", "llm_config")
"""Where models that also see or hear keep the shape of the part that writes."""
_RECURRENT = {"mamba_d_state", "ssm_cfg", "state_size", "linear_num_value_heads", "linear_attn_config"}
"""Keys of models with layers that are no attention."""

WITHIN = ("su", "longrope", "llama3")
"""Ways to stretch positions that max_position_embeddings already counts."""
_MOST = 1 << 31
_TABLE = "a table"
Size = Annotated[int, Field(ge=1, lt=_MOST, description="a whole number from 1 on")]
SizeOrNone = Annotated[int | None, Field(ge=1, lt=_MOST, description="a whole number from 1 on")]
Count = Annotated[int | None, Field(ge=0, lt=_MOST, description="a whole number")]
Switch = Annotated[bool | None, Field(description="true or false")]
Texts = Annotated[list[str] | None, Field(description="a list of texts")]
Numbers = Annotated[list[int] | None, Field(description="a list of whole numbers")]


class ModelConfig(BaseModel):
    """The fields of a configuration that a model's cost hangs on, by Hugging Face's names; others are passed by."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    model_type: str
    hidden_size: Size
    num_attention_heads: Size
    num_hidden_layers: Size
    intermediate_size: Size
    vocab_size: Size
    num_key_value_heads: SizeOrNone = None
    head_dim: SizeOrNone = None
    max_position_embeddings: SizeOrNone = None
    rope_scaling: Annotated[dict[str, Any] | None, Field(description=_TABLE)] = None
    tie_word_embeddings: Switch = None
    layer_types: Texts = None
    use_sliding_window: Switch = None
    sliding_window: Count = None
    sliding_window_pattern: Annotated[int | str | None, Field(description="a whole number or a text")] = None
    max_window_layers: Count = None
    num_local_experts: Count = None
    num_experts: Count = None
    n_routed_experts: Count = None
    moe_num_experts: Count = None
    num_experts_per_tok: Count = None
    experts_per_token: Count = None
    moe_k: Count = None
    moe_intermediate_size: Count = None
    shared_expert_intermediate_size: Count = None
    mlp_only_layers: Numbers = None
    quantization_config: Annotated[dict[str, Any] | None, Field(description=_TABLE)] = None

    @property
    def kv_heads(self) -> int:
        """Heads whose keys and values are kept."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_size(self) -> int:
        """Numbers in a head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def longest(self) -> int | None:
        """Tokens of the longest sequence, as vLLM's `_get_and_verify_max_len` has it; None where nothing says so."""
        rope, longest = self.rope_scaling or {}, self.max_position_embeddings
        kind, factor = rope.get("rope_type", rope.get("type")), rope.get("factor", 1.0)
        if longest is None or kind in WITHIN or self.model_type.startswith("gemma3"):
            return longest
        before = rope.get("original_max_position_embeddings", longest) if kind == "yarn" else longest
        if not all(isinstance(each, int | float) and 0 < each < _MOST for each in (before, factor)):
            return longest
        return max(int(before * factor), 1)

    @property
    def experts(self) -> int:
        """Of a layer; 0 where its MLP is dense."""
        return self.num_local_experts or self.moe_num_experts or self.n_routed_experts or self.num_experts or 0

    @property
    def active_experts(self) -> int:
        """That a token passes."""
        return self.moe_k or self.experts_per_token or self.num_experts_per_tok or 0


def read(path: Path) -> ModelConfig:
    """What a `config.json` says.

    Raises:
        InputError: it cannot be read, or says something else than `of` takes; the message names the file.
    """
    config = _load(path)
    try:
        return of(config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def of(config: Mapping[str, Any]) -> ModelConfig:
    """What a configuration says.

    Raises:
        InputError: a model whose cost is not known from its shape; or a field is missing, or cannot be what it is.
    """
    inner: Mapping[str, Any] = {}
    for name in _TOGETHER:
        part = config.get(name)
        if part is not None and not isinstance(part, dict):
            raise InputError(f"{name} is {shown(part)}, but must be {_TABLE}")
        inner = inner or part or {}
    packed = (part.get(name) for part in (config, inner) for name in ("quantization_config", "compression_config"))
    written = {**config, **inner, "quantization_config": next((each for each in packed if each is not None), None)}
    kind = _kind(written)
    if written.get("rope_scaling") is None and "rope_parameters" in written:  # since transformers 5
        written["rope_scaling"] = written["rope_parameters"]
    return checked({**class_defaults().get(kind, {}), **written, "model_type": kind})


def checked(fields: Mapping[str, Any]) -> ModelConfig:
    """These fields, each of its type, and together those of a model.

    Raises:
        InputError: one of them is not.
    """
    try:
        found = ModelConfig.model_validate(fields)
    except ValidationError as error:
        raise InputError(_explained(error)) from None
    heads, kv_heads, layers = found.num_attention_heads, found.kv_heads, found.num_hidden_layers
    if not found.head_size:
        raise InputError(f"head_dim is missing, and hidden_size {found.hidden_size} is less than {heads} heads")
    if heads % kv_heads:
        raise InputError(f"num_attention_heads is {heads}, but must be a multiple of num_key_value_heads, {kv_heads}")
    if found.experts and not found.active_experts:
        raise InputError(f"num_experts_per_tok is missing, which a model of {found.experts} experts needs")
    if found.layer_types is not None:
        if len(found.layer_types) != layers:
            raise InputError(f"layer_types has {len(found.layer_types)} entries, but must have {layers}, one a layer")
        if others := [each for each in found.layer_types if each not in LOOKING_BACK]:
            raise InputError(f"layer_types has {shown(others[0])}, whose cost is not derived")
    return found


@cache
def class_defaults() -> Mapping[str, Mapping[str, Any]]:
    """Of each model type, what a configuration means that leaves a field out."""
    text = (files("advisor.derive.llm") / "class_defaults.toml").read_text(encoding="utf-8")
    return {kind: unfolded(table) for kind, table in tomli.loads(text)["defaults"].items()}


def unfolded(table: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of a catalogue as a configuration."""
    short = {
        "type": "model_type", "layers": "num_hidden_layers", "hidden": "hidden_size", "heads": "num_attention_heads",
        "kv_heads": "num_key_value_heads", "intermediate": "intermediate_size", "vocabulary": "vocab_size",
        "max_model_len": "max_position_embeddings", "tied": "tie_word_embeddings", "experts": "num_experts",
        "experts_per_token": "num_experts_per_tok", "expert_intermediate": "moe_intermediate_size",
        "shared_intermediate": "shared_expert_intermediate_size", "window": "sliding_window",
    }  # fmt: skip
    return {short.get(key, key): value for key, value in table.items()}


def shown(value: object) -> str:
    """A value in short, as a message quotes it."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else f"a list of {len(value)}"
    text = json.dumps(value) if isinstance(value, bool | None) else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _kind(config: Mapping[str, Any]) -> str:
    """The model type of one whose cost is known from the shape."""
    kind = config.get("model_type")
    if config.get("kv_lora_rank") is not None:
        raise InputError(f"{shown(kind)} has multi-head latent attention (kv_lora_rank), whose cost is not derived")
    if any(config.get(key) is not None for key in _RECURRENT):
        raise InputError(f"{shown(kind)} has state-space or linear-attention layers, whose cost is not derived")
    if not isinstance(kind, str) or kind not in GATED:
        raise InputError(f"model type {shown(kind)} is not among those whose cost is known from the shape")
    return kind


def _explained(error: ValidationError) -> str:
    """The first thing that is wrong, in one line."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    if first["type"] == "missing" or (first["input"] is None and len(first["loc"]) == 1):
        return f"{name} is missing, without which nothing can be derived"
    right = ModelConfig.model_fields[name].description
    is_ = "holds" if len(first["loc"]) > 1 and isinstance(first["loc"][1], int) else "is"
    return f"{name} {is_} {shown(first['input'])}, but must be {right}"


def _load(path: Path) -> Mapping[str, Any]:
    text = input_file.read_text(path, "a model's config.json is needed", MAX_BYTES)
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: not a model's configuration: no JSON object")
    return config
