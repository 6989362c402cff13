"""Shapes: weights and KV cache that are known."""

from __future__ import annotations

import pytest

from advisor.derive.llm.model_shape import catalogue, find
from advisor.errors import InputError
from tests.advisor.derive.llm.configurations import LLAMA, of_config


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


def test_tensor_parallel_splits_heads_down_to_one() -> None:
    shape = of_config(LLAMA)
    assert [shape.kv_bytes_per_token(2, gpus) for gpus in (1, 2, 8, 16)] == [131_072, 65_536, 16_384, 16_384]
