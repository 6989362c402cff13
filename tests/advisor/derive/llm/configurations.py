"""Configurations of models, and values that may stand in their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from advisor.derive.llm import model_config
from advisor.derive.llm.model_shape import ModelShape, shape_of

LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}  # fmt: skip
"""Of meta-llama/Llama-3.1-8B-Instruct."""

_PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
JSON = st.recursive(
    _PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
"""Any value of a JSON file."""


def of_config(config: Mapping[str, Any]) -> ModelShape:
    """The shape that a configuration tells."""
    return shape_of(model_config.of(config))
