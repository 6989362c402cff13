"""How many GPUs may share a model: what vLLM asserts when it splits the matrices, and what each GPU then holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.derive.derive import Subject, derive
from advisor.derive.gpus import gpu as gpus
from advisor.derive.llm import model_shape
from advisor.derive.llm.model_shape import ModelShape
from advisor.derive.memory import MemoryModel
from advisor.derive.shards import counts, obstacle, parameters, shards
from advisor.errors import InputError
from advisor.zoo.derived import LORA_FROM
from advisor.zoo.pair import load_pair, shipped

LLAMA = load_pair(shipped() / LORA_FROM).profile
NAMES = sorted(model_shape.catalogue())

shapes = st.builds(
    ModelShape,
    layers=st.integers(1, 4),
    hidden=st.just(256),
    heads=st.integers(1, 64),
    kv_heads=st.integers(1, 64),
    head_dim=st.just(64),
    intermediate=st.integers(1, 64).map(lambda times: 64 * times),
    vocabulary=st.integers(1, 10_000),
    max_model_len=st.just(4096),
)


def refused(model: str, gpu: str, tensor_parallel: int, gib: float | None = None) -> str:
    figures = gpus.find(gpu).model_copy(update={} if gib is None else {"memory_gib": gib})
    subject = Subject(model, model_shape.find(model), gpu, figures, tensor_parallel=tensor_parallel)
    with pytest.raises(InputError) as error:
        derive(subject, LLAMA, model_shape.find(LLAMA.pair.model), command="made up for tests")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("model", "tensor_parallel", "said"),
    [
        ("microsoft/phi-4", 4, "phi-4: 10 KV heads are not shared by 4 GPUs: vLLM does not start"),
        ("microsoft/phi-4", 4, "; tensor_parallel may be 1 or 2"),
        ("microsoft/phi-4", 8, "10 KV heads are not shared by 8 GPUs"),
        ("microsoft/Phi-3-medium-4k-instruct", 4, "10 KV heads are not shared by 4 GPUs"),
        ("microsoft/Phi-3-medium-4k-instruct", 5, "a vocabulary of 32,064 tokens is not shared by 5 GPUs"),
        ("meta-llama/Llama-3.2-3B-Instruct", 3, "8 KV heads are not shared by 3 GPUs: vLLM does not start; "
         "tensor_parallel may be 1, 2, 4 or 8"),
        ("Qwen/Qwen2.5-0.5B-Instruct", 7, "2 KV heads are not shared by 7 GPUs"),
        ("meta-llama/Llama-2-13b-hf", 5, "an MLP of 13,824 is not shared by 5 GPUs"),
        ("Qwen/Qwen2.5-7B-Instruct", 8, "28 attention heads are not shared by 8 GPUs"),
    ],
)  # fmt: skip
def test_a_count_that_vllm_asserts_against_is_refused_with_those_that_would_do(
    model: str, tensor_parallel: int, said: str
) -> None:
    assert said in refused(model, "h100-80gb", tensor_parallel)


@pytest.mark.parametrize("model", ["microsoft/phi-4", "microsoft/Phi-3-medium-4k-instruct"])
@pytest.mark.parametrize("gpu", ["a10", "l4", "rtx-3090", "l40s"])
def test_what_would_fit_is_a_count_that_may_be(model: str, gpu: str) -> None:
    subject = Subject(model, model_shape.find(model), gpu, gpus.find(gpu))
    try:
        derive(subject, LLAMA, model_shape.find(LLAMA.pair.model), command="made up for tests")
    except InputError as error:
        assert "tensor_parallel = 4" not in str(error) and "tensor_parallel = 8" not in str(error)


def test_where_nothing_would_fit_no_more_gpus_are_named_than_may_share_it() -> None:
    assert "neither fewer bits nor 2 of them" in refused("microsoft/phi-4", "l4", 1, gib=6.0)


@given(st.sampled_from(NAMES) | shapes, st.integers(1, 64))
def test_what_is_allowed_splits_every_size_without_a_rest(model: str | ModelShape, several: int) -> None:
    """The rules as vLLM's own assertions have them."""
    shape = model_shape.find(model) if isinstance(model, str) else model
    padded = (shape.vocabulary + 63) // 64 * 64
    fine = shape.heads % several == 0 and padded % several == 0
    fine &= all(size % several == 0 for size in (shape.intermediate, shape.shared_intermediate))
    fine &= (shape.kv_heads % several if shape.kv_heads >= several else several % shape.kv_heads) == 0
    if shape.dense_layers:
        fine &= shape.dense_intermediate % several == 0
    assert (obstacle(shape, several) is None) == fine
    assert (several in counts(shape, 64)) == fine
    assert 1 in counts(shape, 64)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"intermediate": 770}, "experts of 770 are"),
        ({"shared_intermediate": 770}, "a shared expert of 770 is"),
        ({"dense_layers": 2, "dense_intermediate": 770}, "an MLP of 770 is"),
    ],
)
def test_experts_are_split_as_well(changes: dict[str, int], said: str) -> None:
    moe = model_shape.find("Qwen/Qwen3-30B-A3B")
    assert obstacle(moe, 4) is None
    assert obstacle(replace(moe, **changes), 4) == f"{said} not shared by 4 GPUs"


def test_no_count_of_gpus_is_named_where_none_would_serve_experts() -> None:
    assert "has experts" in refused("Qwen/Qwen3-30B-A3B", "h200", 3)


@given(st.sampled_from(NAMES), st.data())
def test_each_gpu_holds_its_part_and_a_kv_head_at_least(model: str, data: st.DataObject) -> None:
    shape = model_shape.find(model)
    several = data.draw(st.sampled_from(counts(shape, 64)))
    heads = max(shape.kv_heads // several, 1)
    assert shape.kv_bytes_per_token(2.0, several) == 2 * shape.layers * heads * shape.head_dim * 2
    mine = list(zip(shape.linears, shards(shape, several), strict=True))
    # Whatever a model has as one: queries are split, keys and values are heads that are there whole, the rest is split.
    attention = [part.outputs for each, part in mine if not each.row_parallel and each.inputs == shape.hidden]
    rest = 0 if shape.experts else 2 * shape.intermediate
    queries = shape.heads * shape.head_dim
    assert sum(attention) == pytest.approx((queries + rest) / several + 2 * heads * shape.head_dim)
    assert next(part.inputs * several for each, part in mine if each.row_parallel) == queries
    held = several * parameters(shape, several) - shape.body_parameters
    replicated = 2 * shape.layers * shape.hidden * shape.head_dim * max(several - shape.kv_heads, 0)
    assert held == pytest.approx(replicated, abs=1e-6 * shape.body_parameters)


def test_a_kv_head_on_every_gpu_weighs_on_weights_and_slots() -> None:
    shape = model_shape.find("Qwen/Qwen2.5-3B-Instruct")
    gpu = gpus.find("h100-80gb")
    two, sixteen = (MemoryModel(shape, gpu, tensor_parallel=several) for several in (2, 16))
    assert sixteen.weight_bytes > two.weight_bytes / 8
    assert sixteen.slot_rank_bytes() > two.slot_rank_bytes() / 8
