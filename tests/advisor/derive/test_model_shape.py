"""Shapes out of configurations: weights and KV cache that are known, and models that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.derive.model_shape import GATED, catalogue, find, of_config, read
from advisor.errors import InputError

LLAMA = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "billions", "kv_bytes"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 8.03, 131_072),
        ("meta-llama/Llama-3.3-70B-Instruct", 70.55, 327_680),
        ("meta-llama/Llama-3.1-405B-Instruct", 405.85, 516_096),
        ("meta-llama/Llama-3.2-1B-Instruct", 1.24, 32_768),
        ("meta-llama/Llama-2-7b-hf", 6.74, 524_288),
        ("Qwen/Qwen2.5-7B-Instruct", 7.62, 57_344),
        ("Qwen/Qwen2.5-0.5B-Instruct", 0.494, 12_288),
        ("Qwen/Qwen3-8B", 8.19, 147_456),
        ("Qwen/Qwen3-30B-A3B", 30.53, 98_304),
        ("mistralai/Mistral-Nemo-Instruct-2407", 12.25, 163_840),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 46.70, 131_072),
        ("google/gemma-2-9b-it", 9.24, 344_064),
        ("microsoft/phi-4", 14.66, 204_800),
        ("openai/gpt-oss-120b", 116.8, 73_728),
    ],
)
def test_parameters_and_kv_bytes_are_those_that_are_published(model: str, billions: float, kv_bytes: int) -> None:
    shape = find(model)
    assert shape.parameters / 1e9 == pytest.approx(billions, rel=0.005)
    assert shape.kv_bytes_per_token(2) == kv_bytes


def test_the_catalogue_holds_forty_models_and_more() -> None:
    assert len(catalogue()) >= 40
    assert sum(bool(shape.experts) for shape in catalogue().values()) >= 4


def test_a_model_is_found_by_its_short_name_and_others_are_hinted_at() -> None:
    assert find("llama-3.1-8b-instruct") == find("meta-llama/Llama-3.1-8B-Instruct") == of_config(LLAMA)
    with pytest.raises(InputError, match=r"near are .*Qwen/Qwen3-8B.*--config"):
        find("Qwen3-8")


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
        ({"model_type": None}, "'None'"),
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"num_hidden_layers": "32"}, "num_hidden_layers is '32'"),
        ({"vocab_size": -1}, "vocab_size"),
    ],
)
def test_what_cannot_be_derived_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        of_config({**LLAMA, **changes})


@given(st.dictionaries(st.sampled_from(sorted(LLAMA)), st.none() | st.booleans() | st.integers() | st.text(max_size=3)))
def test_any_configuration_is_a_shape_or_refused(changes: dict[str, Any]) -> None:
    try:
        shape = of_config({**LLAMA, **changes})
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert shape.kind in GATED and shape.parameters > 0


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 50_000, "3", "{}"])
def test_a_broken_file_is_an_error_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_tensor_parallel_splits_heads_down_to_one(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA))
    shape = read(path)
    assert [shape.kv_bytes_per_token(2, gpus) for gpus in (1, 2, 8, 16)] == [131_072, 65_536, 16_384, 16_384]
