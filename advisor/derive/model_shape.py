"""The shape of a model, out of its Hugging Face `config.json` or the catalogue: what it weighs, what a token costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import tomli

from advisor.derive.model_name import hint, same_model
from advisor.errors import InputError

MAX_BYTES = 4 * 1024**2
GATED = {
    *("llama", "mistral", "ministral3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "gemma3_text", "phi3"),
    *("granite", "exaone", "exaone4", "olmo", "olmo2", "olmo3", "smollm3", "internlm2", "internlm3", "baichuan"),
    *("stablelm", "cohere", "cohere2", "helium", "seed_oss", "aquila", "arcee", "glm", "glm4", "ernie4_5", "mistral3"),
    *("mixtral", "qwen2_moe", "qwen3_moe", "gpt_oss", "olmoe", "phimoe", "granitemoe", "minimax_m2", "ernie4_5_moe"),
}
"""Model types built as Llama is: attention with grouped heads, and a gated MLP of three matrices or experts of such."""
_TOGETHER = ("text_config", "language_config", "llm_config")
"""Where models that also see or hear keep the shape of the part that writes."""


class Linear(NamedTuple):
    """A matrix that a token is multiplied with, and that an adapter may add to."""

    name: str
    inputs: int
    outputs: int
    row_parallel: bool
    """Split by its inputs under tensor parallelism, not by its outputs."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a decoder of transformers."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    """Of the MLP, or of one expert."""
    vocabulary: int
    max_model_len: int
    """The longest sequence it was made for, tokens."""
    tied: bool = False
    """Whether input and output share their embeddings."""
    experts: int = 0
    """0 where the MLP is dense."""
    experts_per_token: int = 0
    shared_intermediate: int = 0
    """Of an expert that every token passes; 0 where there is none."""
    dense_layers: int = 0
    """Layers with a dense MLP among those of experts."""
    dense_intermediate: int = 0
    sliding_layers: int = 0
    """Layers that look back no further than a window; counted here as if they looked back all the way."""
    kind: str = "llama"
    """Model type, as Hugging Face calls it."""

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The matrices of a layer's attention and of its dense MLP (none where all layers have experts)."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = (
            Linear("q_proj", self.hidden, q, False),
            Linear("k_proj", self.hidden, kv, False),
            Linear("v_proj", self.hidden, kv, False),
            Linear("o_proj", q, self.hidden, True),
        )
        return attention if self.experts else (*attention, *self.mlp(self.intermediate))

    def mlp(self, intermediate: int) -> tuple[Linear, ...]:
        """The matrices of a gated MLP."""
        return (
            Linear("gate_proj", self.hidden, intermediate, False),
            Linear("up_proj", self.hidden, intermediate, False),
            Linear("down_proj", intermediate, self.hidden, True),
        )

    @property
    def body_parameters(self) -> int:
        """Parameters of all layers."""
        attention = sum(each.inputs * each.outputs for each in self.linears)
        if not self.experts:
            return self.layers * attention
        sparse = self.layers - self.dense_layers
        expert = 3 * self.hidden * self.intermediate
        shared = 3 * self.hidden * self.shared_intermediate
        router = self.hidden * self.experts
        dense = 3 * self.hidden * self.dense_intermediate
        return self.layers * attention + sparse * (self.experts * expert + shared + router) + self.dense_layers * dense

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the embeddings, those of the output included."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All parameters, but for norms and biases (less than one in a thousand)."""
        return self.body_parameters + self.embedding_parameters

    def kv_bytes_per_token(self, kv_bytes: float, tensor_parallel: int = 1) -> float:
        """Bytes of KV cache that a token takes on each of the GPUs that share a server.

        Heads are split over the GPUs; where there are fewer heads than GPUs, each GPU holds one.
        """
        heads = max(self.kv_heads / tensor_parallel, 1.0)
        return 2 * self.layers * heads * self.head_dim * kv_bytes


def read(path: Path) -> ModelShape:
    """The shape that a `config.json` tells.

    Raises:
        InputError: it cannot be read, or the model cannot be derived; one line says why.
    """
    return of_file(path, load(path))


def of_file(path: Path, config: Mapping[str, Any]) -> ModelShape:
    """The shape that the configuration in a file tells.

    Raises:
        InputError: as `of_config`; the message names the file.
    """
    try:
        return of_config(config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def load(path: Path) -> Mapping[str, Any]:
    """What a `config.json` holds.

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES:,} bytes; a model's config.json is needed")
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read the model's configuration: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: not a model's configuration: no JSON object")
    return config


def of_config(config: Mapping[str, Any]) -> ModelShape:
    """The shape that a Hugging Face configuration tells.

    Raises:
        InputError: a model whose cost is not known from its shape, or a size that is missing.
    """
    inner = next((config[key] for key in _TOGETHER if isinstance(config.get(key), dict)), None)
    if inner is not None:
        config = {**{key: value for key, value in config.items() if key != "model_type"}, **inner}
    kind = str(config.get("model_type"))
    if config.get("kv_lora_rank") is not None:
        raise InputError(f"{kind} has multi-head latent attention (kv_lora_rank), whose cost is not derived")
    if {"mamba_d_state", "ssm_cfg", "state_size", "linear_num_value_heads", "linear_attn_config"} & config.keys():
        raise InputError(f"{kind} has state-space or linear-attention layers, whose cost is not derived")
    if kind not in GATED:
        raise InputError(f"model type {kind!r} is not among those whose cost is known from the shape")
    hidden, heads = _size(config, "hidden_size"), _size(config, "num_attention_heads")
    experts = _size(config, "num_local_experts", "num_experts", "n_routed_experts", missing=0)
    intermediate = _size(config, "intermediate_size")
    sliding = [each for each in config.get("layer_types") or [] if each == "sliding_attention"]
    sparse = dict[str, int]()
    if experts:
        sparse = {
            "experts": experts,
            "experts_per_token": _size(config, "num_experts_per_tok", "experts_per_token"),
            "shared_intermediate": _size(config, "shared_expert_intermediate_size", missing=0),
            "dense_layers": len(config.get("mlp_only_layers") or []),
            "dense_intermediate": intermediate,
        }
        intermediate = _size(config, "moe_intermediate_size", missing=intermediate)
    return ModelShape(
        layers=_size(config, "num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=_size(config, "num_key_value_heads", missing=heads),
        head_dim=_size(config, "head_dim", missing=hidden // heads),
        intermediate=intermediate,
        vocabulary=_size(config, "vocab_size"),
        max_model_len=_size(config, "max_position_embeddings", missing=8192),
        tied=bool(config.get("tie_word_embeddings", False)),
        sliding_layers=len(sliding),
        kind=kind,
        **sparse,
    )


def _size(config: Mapping[str, Any], *names: str, missing: int | None = None) -> int:
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
            raise InputError(f"{name} is {str(value)[:40]!r}, but must be a whole number")
        if value or missing == 0:
            return value
    if missing is None:
        raise InputError(f"{names[0]} is missing, without which nothing can be derived")
    return missing


def find(model: str) -> ModelShape:
    """The shape of a model in the catalogue, by its Hugging Face id or the part behind the owner, in any case.

    Raises:
        InputError: the catalogue has none of this name.
    """
    return catalogue()[hub_id(model)]


def hub_id(model: str) -> str:
    """The catalogue's name of a model, by whatever `find` knows it by.

    Raises:
        InputError: the catalogue has none of this name; the message names the nearest, and the way out.
    """
    wanted = model.rstrip("/")
    for name in catalogue():
        if same_model(wanted, name):
            return name
    raise InputError(
        f"no model {model!r} in the catalogue{hint(wanted, catalogue())}; any other is derived from its config.json: "
        "model_config in an inventory, --config of `python -m calibrate derive`"
    )


@cache
def catalogue() -> Mapping[str, ModelShape]:
    """The models whose shapes are shipped, by Hugging Face id."""
    text = (files("advisor.derive") / "models.toml").read_text(encoding="utf-8")
    return {name: of_config(_unfolded(table)) for name, table in tomli.loads(text)["models"].items()}


def _unfolded(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """A catalogue's entry as a configuration."""
    short = {
        "type": "model_type", "layers": "num_hidden_layers", "hidden": "hidden_size", "heads": "num_attention_heads",
        "kv_heads": "num_key_value_heads", "intermediate": "intermediate_size", "vocabulary": "vocab_size",
        "max_model_len": "max_position_embeddings", "tied": "tie_word_embeddings", "experts": "num_experts",
        "experts_per_token": "num_experts_per_tok", "expert_intermediate": "moe_intermediate_size",
        "shared_intermediate": "shared_expert_intermediate_size",
    }  # fmt: skip
    return {short.get(key, key): value for key, value in table.items()}
