"""Configurations: read as transformers and vLLM read them, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.derive.derive import Subject, derive
from advisor.derive.gpus import gpu as gpus
from advisor.derive.llm import model_shape
from advisor.derive.llm.model_config import GATED, ModelConfig, class_defaults, read, unfolded
from advisor.derive.llm.model_shape import catalogue
from advisor.errors import InputError
from tests.advisor.derive.llm.configurations import JSON, LLAMA, of_config
from twin.profile import load as load_profile

MEASURED = load_profile(Path("model_zoo/pairs/llama-3.1-8b-instruct--h100-64gb/profile.toml"))
PLACES = ("text_config", "language_config", "llm_config", "kv_lora_rank", "state_size", "compression_config")


def test_a_model_that_also_sees_is_read_by_the_part_that_writes() -> None:
    seeing = {
        "model_type": "gemma3",
        "vision_config": {"hidden_size": 1},
        "text_config": {**LLAMA, "model_type": "gemma3_text"},
    }
    assert of_config(seeing).hidden == 4096


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kv_lora_rank": 512, "model_type": "deepseek_v3"}, "multi-head latent attention"),
        ({"model_type": "mamba2", "state_size": 128}, "state-space"),
        ({"model_type": "gpt2"}, "'gpt2'"),
        ({"model_type": None}, "model type null"),
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"num_hidden_layers": "32"}, "num_hidden_layers is '32', but must be a whole number from 1 on"),
        ({"vocab_size": -1}, "vocab_size is -1"),
        ({"num_attention_heads": True}, "num_attention_heads is true"),
        ({"intermediate_size": 1e4}, "intermediate_size is 10000.0"),
        ({"layer_types": 5}, "layer_types is 5, but must be a list of texts"),
        ({"layer_types": ["full_attention"] * 31 + [7]}, "layer_types holds 7, but must be a list of texts"),
        ({"layer_types": ["full_attention"]}, "layer_types has 1 entries, but must have 32"),
        ({"layer_types": ["linear_attention"] * 32}, "layer_types has 'linear_attention', whose cost is not derived"),
        ({"num_experts": 8, "num_experts_per_tok": 2, "mlp_only_layers": 3}, "mlp_only_layers is 3"),
        ({"num_experts": 8}, "num_experts_per_tok is missing"),
        ({"hidden_size": 16}, "head_dim is missing, and hidden_size 16 is less than 32 heads"),
        ({"num_key_value_heads": 5}, "must be a multiple of num_key_value_heads, 5"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes', but must be true or false"),
        ({"sliding_window": "wide"}, "sliding_window is 'wide'"),
        ({"text_config": 5}, "text_config is 5, but must be a table"),
    ],
)
def test_what_cannot_be_derived_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        of_config({**LLAMA, **changes})
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 50_000, "3", "{}"])
def test_a_broken_file_is_an_error_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize("path", ["/dev/zero", "/nowhere/config.json", "/"])
def test_what_is_no_file_is_an_error_in_one_line(path: str) -> None:
    with pytest.raises(InputError, match=f"^{path}: "):
        read(Path(path))


@given(
    st.sampled_from(sorted(GATED)),
    st.dictionaries(st.sampled_from([*ModelConfig.model_fields, *PLACES]), JSON | st.integers(0, 64)),
)
def test_any_values_of_the_known_fields_are_a_profile_or_one_line(kind: str, changes: dict[str, Any]) -> None:
    try:
        shape = of_config({**LLAMA, "model_type": kind, **changes})
        assert shape.kind in GATED and shape.parameters > 0 and 0 <= shape.sliding_layers <= shape.layers
        subject = Subject("our/own", shape, "h100-80gb", gpus.find("h100-80gb"))
        derive(subject, MEASURED, model_shape.find(MEASURED.pair.model), command="made up for tests")
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("kind", ["gemma", "gemma2", "gemma3_text", "cohere", "cohere2", "smollm3", "ernie4_5"])
def test_embeddings_are_tied_where_the_class_has_them_so(kind: str) -> None:
    """transformers writes no tie_word_embeddings where its class has it true: so the hub's Gemma and Cohere."""
    left_out = {name: value for name, value in LLAMA.items() if name != "tie_word_embeddings"}
    assert of_config({**left_out, "model_type": kind}).tied
    assert not of_config({**LLAMA, "model_type": kind}).tied
    assert not of_config(left_out).tied and not of_config({**left_out, "model_type": "qwen2"}).tied


def test_a_part_is_written_without_what_its_class_has() -> None:
    """As the hub has google/gemma-3-4b-it and -12b-it: heads, their size and the vocabulary are left out."""
    four = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024}
    twelve = {
        "hidden_size": 3840, "intermediate_size": 15360, "num_hidden_layers": 48, "sliding_window": 1024,
        "num_attention_heads": 16, "num_key_value_heads": 8,
    }  # fmt: skip
    for name, part in (("4b", four), ("12b", twelve)):
        config = {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", **part}, "vision_config": {}}
        assert of_config(config) == catalogue()[f"google/gemma-3-{name}-it"]


def test_experts_are_known_by_every_name() -> None:
    for names in (("num_local_experts", "num_experts_per_tok"), ("moe_num_experts", "moe_k")):
        shape = of_config({**LLAMA, "model_type": "ernie4_5_moe", **dict(zip(names, (32, 3), strict=True))})
        assert (shape.experts, shape.experts_per_token) == (32, 3)
    assert of_config({**LLAMA, "model_type": "mixtral"}).experts == 8


@pytest.mark.parametrize("model", sorted(catalogue()))
def test_the_catalogue_and_the_file_that_transformers_writes_agree(model: str) -> None:
    """The catalogue names what a model has; a file leaves out what its class has."""
    shape = catalogue()[model]
    full = {
        "num_hidden_layers": shape.layers, "hidden_size": shape.hidden, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_dim, "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.max_model_len, "tie_word_embeddings": shape.tied,
        "intermediate_size": shape.dense_intermediate or shape.intermediate,
        "moe_intermediate_size": shape.intermediate, "num_experts": shape.experts,
        "num_experts_per_tok": shape.experts_per_token, "sliding_window": shape.window or None,
    }  # fmt: skip
    defaults = class_defaults().get(shape.kind, {})
    written = {name: value for name, value in full.items() if name not in defaults or value != defaults[name]}
    assert of_config({"model_type": shape.kind, **written}) == shape


def test_the_table_of_classes_names_fields_that_are_read() -> None:
    for kind, defaults in class_defaults().items():
        assert kind in GATED and set(defaults) <= set(ModelConfig.model_fields)
    assert unfolded({"tied": True}) == {"tie_word_embeddings": True}


SLIDING, FULL = "sliding_attention", "full_attention"


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({}, 0),
        ({"model_type": "mistral"}, 32),  # by its class 4,096, and 131,072 tokens
        ({"model_type": "mistral", "sliding_window": 4096}, 32),
        ({"model_type": "mistral", "sliding_window": None}, 0),
        ({"model_type": "mistral", "sliding_window": 0}, 0),
        ({"model_type": "phi3", "sliding_window": 262144}, 0),
        ({"model_type": "phi3", "sliding_window": 2047, "max_position_embeddings": 4096}, 32),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, 0),
        ({"model_type": "qwen2", "sliding_window": 4096}, 0),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 21}, 11),
        ({"model_type": "qwen3", "sliding_window": None, "use_sliding_window": True}, 0),
        ({"model_type": "gemma2"}, 16),
        ({"model_type": "gemma3_text"}, 27),
        ({"model_type": "gemma3_text", "sliding_window_pattern": 4}, 24),
        ({"model_type": "cohere2"}, 24),
        ({"model_type": "exaone4", "sliding_window_pattern": "LLLG"}, 24),
        ({"model_type": "exaone4", "sliding_window": None}, 0),
        ({"model_type": "olmo3"}, 24),
        ({"sliding_window": 4096, "layer_types": [SLIDING] * 20 + [FULL] * 12}, 20),
        ({"sliding_window": None, "layer_types": [SLIDING] * 32}, 0),
        ({"model_type": "gemma2", "layer_types": [FULL] * 32}, 0),
    ],
)
def test_layers_that_look_back_over_a_window(changes: dict[str, Any], layers: int) -> None:
    shape = of_config({**LLAMA, **changes})
    assert shape.sliding_layers == layers and bool(shape.window) == bool(layers)


@pytest.mark.parametrize(
    ("model", "layers"),
    [("google/gemma-3-27b-it", 52), ("google/gemma-2-9b-it", 21), ("google/gemma-3-1b-it", 22), ("microsoft/phi-4", 0)],
)
def test_the_catalogue_knows_windows(model: str, layers: int) -> None:
    assert catalogue()[model].sliding_layers == layers


def test_every_configuration_is_json(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA))
    assert model_shape.shape_of(read(path)) == of_config(LLAMA)


@pytest.mark.parametrize(
    ("rope", "longest"),
    [
        (None, 32_768),
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}, 131_072),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8192}, 32_768),
        ({"type": "linear", "factor": 2.0}, 65_536),
        ({"rope_type": "dynamic", "factor": 4.0}, 131_072),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}, 32_768),
        ({"type": "longrope", "factor": 32.0}, 32_768),
        ({"rope_type": "default"}, 32_768),
        ({"type": "linear", "factor": "two"}, 32_768),
    ],
)
@pytest.mark.parametrize("name", ["rope_scaling", "rope_parameters"])
def test_positions_that_are_stretched_make_sequences_longer(
    rope: dict[str, Any] | None, longest: int, name: str
) -> None:
    """vLLM starts with what they are stretched to, where nothing else is said, or does not start."""
    config = {
        "model_type": "qwen2", "hidden_size": 3584, "num_attention_heads": 28, "num_key_value_heads": 4,
        "num_hidden_layers": 28, "intermediate_size": 18_944, "vocab_size": 152_064,
        "max_position_embeddings": 32_768, name: rope,
    }  # fmt: skip
    assert of_config(config).max_model_len == longest


def test_a_window_counts_where_stretched_sequences_are_longer() -> None:
    config = {**LLAMA, "model_type": "mistral", "max_position_embeddings": 4096, "sliding_window": 4096}
    assert not of_config(config).sliding_layers
    assert of_config({**config, "rope_scaling": {"type": "linear", "factor": 2.0}}).sliding_layers
