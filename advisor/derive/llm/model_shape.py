"""The shape of a model, out of its Hugging Face `config.json` or the catalogue: what it weighs, what a token costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import tomli

from advisor.derive.llm import model_config
from advisor.derive.llm.model_config import ModelConfig
from advisor.derive.llm.model_name import hint, same_model
from advisor.derive.llm.modules import Linear, of_kind
from advisor.derive.llm.windows import windows_of
from advisor.errors import InputError

MAX_MODEL_LEN = 2048
"""Tokens that vLLM takes for the longest sequence where neither configuration nor its class says any."""


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
    window: int = 0
    """That window, tokens."""
    kind: str = "llama"
    """Model type, as Hugging Face calls it."""

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The matrices of a layer's attention and of its dense MLP (none where all layers have experts).

        They are what adapters are on: several that the model has as one are one.
        """
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = (
            Linear("q_proj", self.hidden, q, False),
            Linear("k_proj", self.hidden, kv, False, kv),
            Linear("v_proj", self.hidden, kv, False, kv),
            Linear("o_proj", q, self.hidden, True),
        )
        return of_kind(attention if self.experts else (*attention, *self.mlp(self.intermediate)), self.kind)

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


def shape_of(config: ModelConfig) -> ModelShape:
    """The shape that the fields of a configuration tell."""
    windows, sparse = windows_of(config), dict[str, int]()
    if config.experts:
        sparse = {
            "experts": config.experts,
            "experts_per_token": config.active_experts,
            "shared_intermediate": config.shared_expert_intermediate_size or 0,
            "dense_layers": len(config.mlp_only_layers or []),
            "dense_intermediate": config.intermediate_size,
        }
    return ModelShape(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.kv_heads,
        head_dim=config.head_size,
        intermediate=(config.moe_intermediate_size if config.experts else None) or config.intermediate_size,
        vocabulary=config.vocab_size,
        max_model_len=config.longest or MAX_MODEL_LEN,
        tied=bool(config.tie_word_embeddings),
        sliding_layers=windows.layers,
        window=windows.tokens,
        kind=config.model_type,
        **sparse,
    )


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
    text = (files("advisor.derive.llm") / "models.toml").read_text(encoding="utf-8")
    models = tomli.loads(text)["models"]
    return {name: shape_of(model_config.checked(model_config.unfolded(table))) for name, table in models.items()}
