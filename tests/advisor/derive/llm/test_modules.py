"""What adapters on a model's modules weigh, and the names of modules that it has not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from advisor.derive.llm.model_shape import catalogue, find
from advisor.derive.llm.modules import TOGETHER, adapter_bytes, notes

PHI = "microsoft/phi-4"
FUSED = frozenset({"qkv_proj", "o_proj", "gate_up_proj", "down_proj"})
NAMES = st.sampled_from(
    [*FUSED, "q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "embed_tokens", "lm_head", "W_pack", "q_prj", "fc1"]
)


def of(model: str, *names: str) -> float:
    return adapter_bytes(find(model), frozenset(names) if names else None)


def told(model: str, *names: str) -> str:
    return " ".join(notes([frozenset(names)], find(model), model))


def test_modules_that_a_model_has_in_one_have_one_first_factor() -> None:
    """By hand: A of each module, r x inputs, and B, the sum of its outputs x r, in 40 layers of 16 bits."""
    layer = (5120 + 7680) + (5120 + 5120) + (5120 + 2 * 17920) + (17920 + 5120)
    assert of(PHI, *FUSED) == of(PHI) == 2 * 40 * layer
    assert of(PHI, "qkv_proj") == 2 * 40 * 12_800
    assert not told(PHI, *FUSED)


def test_a_name_for_several_modules_stands_for_each_of_them() -> None:
    llama = "meta-llama/Llama-3.1-8B-Instruct"
    for name, parts in TOGETHER.items():
        assert of(llama, name) == of(llama, *parts) and not told(llama, name)
    assert of(llama, "q_proj", "v_proj") == 2 * 32 * (8192 + 5120)


def test_embeddings_are_there_once() -> None:
    llama = "meta-llama/Llama-3.1-8B-Instruct"
    assert of(llama, "lm_head") == 2 * (128_256 + 4096)
    assert of(llama, "q_proj", "embed_tokens", "lm_head") == of(llama, "q_proj") + 4 * (128_256 + 4096)
    assert not told(llama, "q_proj", "embed_tokens", "lm_head")


def test_names_that_a_model_has_not_are_told() -> None:
    llama = "meta-llama/Llama-3.1-8B-Instruct"
    said = told(llama, "q_prj", "v_proj", "fc1")
    assert "has no fc1, q_prj (did you mean q_proj?), left out" in said and "its modules are q_proj, k_proj" in said
    assert of(llama, "q_prj", "v_proj") == of(llama, "v_proj") and of(llama, "q_prj") == of(llama)
    assert "has qkv_proj in the place of k_proj, q_proj, and vLLM loads no adapter" in told(PHI, "q_proj", "k_proj")
    assert of(PHI, "q_proj", "k_proj") == of(PHI, "qkv_proj")
    assert "outside of its experts" in told("mistralai/Mixtral-8x7B-Instruct-v0.1", "q_proj", "w1")
    assert not list(notes([frozenset({"q_prj"})], None, "nobody/knows-it"))


@given(st.sampled_from(sorted(catalogue())), st.sets(NAMES, min_size=1))
def test_whatever_adapters_touch_they_weigh_something_and_no_more_than_all(model: str, names: set[str]) -> None:
    shape = find(model)
    embeddings = 2 * 2 * (shape.vocabulary + shape.hidden)
    assert 0 < of(model, *names) <= of(model) + embeddings
    assert "\n" not in told(model, *names)
