"""Eight bits on GPUs that do not multiply them, or of which nobody knows how fast: said, not passed over."""

from __future__ import annotations

import pytest

from advisor.derive.engine import Engine
from advisor.derive.gpus import gpu as gpus
from advisor.derive.gpus.gpu import OwnGpu
from advisor.errors import InputError
from advisor.zoo.derived import derived_pair

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def card(like: str, fp8_tflops: float = 0.0) -> OwnGpu:
    figures = {"memory_gib": 47.0, "bandwidth_gb_s": 900.0, "bf16_tflops": 150.0, "clock_ghz": 1.8}
    return OwnGpu("card", **figures, fp8_tflops=fp8_tflops, link_gb_s=50.0, like=like)


def notes(gpu: str | OwnGpu, model: str = LLAMA, **engine: object) -> str:
    own, name = (gpu, gpu.name) if isinstance(gpu, OwnGpu) else (None, gpu)
    return " | ".join(derived_pair(model, name, Engine(gpu=own, **engine)).notes)  # type: ignore[arg-type]


@pytest.mark.parametrize("tensor_parallel", [1, 2])
def test_weights_that_a_gpu_does_not_multiply_are_refused_with_the_way_out(tensor_parallel: int) -> None:
    with pytest.raises(InputError) as error:
        notes("a100-80gb", quantization="fp8", tensor_parallel=tensor_parallel)
    assert str(error.value) == (
        "a100-80gb multiplies no fp8: vLLM unpacks such weights there, which is not derived; bf16 and int4 are"
    )
    with pytest.raises(InputError, match="bf16 and int4 are; if card does multiply fp8, its fp8_tflops are missing"):
        notes(card("l40s"), quantization="fp8", tensor_parallel=tensor_parallel)


@pytest.mark.parametrize("cache", ["fp8", "fp8_e5m2"])
def test_a_cache_in_fp8_is_told_to_need_another_attention_where_the_gpu_has_none(cache: str) -> None:
    for gpu in sorted(gpus.catalogue().gpus):
        said = notes(gpu, kv_cache_dtype=cache, model="Qwen/Qwen2.5-0.5B-Instruct")
        assert ("FlashInfer" in said) == (not gpus.find(gpu).fp8_tflops), gpu
    assert "FlashInfer" in notes(card("l40s"), kv_cache_dtype=cache, tensor_parallel=2)
    assert "FlashInfer" not in notes("a100-80gb")


@pytest.mark.parametrize(
    ("like", "fp8_tflops", "said"),
    [
        ("a100-80gb", 300.0, "products in fp8 were never measured on a GPU of the kind of card"),
        ("l40s", 300.0, ""),
        ("l40s", 100.0, "fp8_tflops of card are 100, its bf16_tflops 150"),
    ],
)
def test_what_is_not_known_of_fp8_is_said_where_weights_are_in_it(like: str, fp8_tflops: float, said: str) -> None:
    found = notes(card(like, fp8_tflops), quantization="fp8", tensor_parallel=2)
    assert said in found and ("fp8" in found) == bool(said)
    assert "fp8" not in notes(card(like, fp8_tflops), tensor_parallel=2)


@pytest.mark.parametrize(("vllm", "told"), [("0.14", True), ("0.8.5", True), ("0.15", False), ("0.33", False)])
def test_weights_that_are_packed_while_they_are_loaded_have_to_fit_before(vllm: str, told: bool) -> None:
    """Qwen2.5-32B is 61 GiB in 16 bits; an L40S has 44."""
    said = notes("l40s", "Qwen/Qwen2.5-32B-Instruct", quantization="fp8", vllm=vllm)
    assert ("packed already" in said) == told
    assert "packed already" not in notes("h200", LLAMA, quantization="fp8", vllm=vllm)
    assert "packed already" not in notes("l40s", "RedHatAI/Qwen2.5-32B-Instruct-FP8", vllm=vllm)
