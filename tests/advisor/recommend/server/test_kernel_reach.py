"""Slots that vLLM's LoRA kernels do not reach are never advised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.derive.llm import model_shape
from advisor.recommend.choice.configuration import Configurator, DoesNotFitError
from advisor.recommend.objective import Objective
from advisor.recommend.server.kernel_reach import largest_side, most_slots
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import find_pair
from tests.advisor.recommend.shipped.questions import workload
from twin.lora_kernels import REACHED
from twin.settings import LORA_RANKS


@pytest.fixture(scope="module")
def roomy() -> Pair:
    """Llama on a GPU where slots take next to no memory, so that it is the kernels that end them."""
    pair = find_pair("llama-3.1-8b-instruct", "h100-64gb")
    memory = pair.profile.memory.model_copy(update={"kv_tokens_per_slot_rank": 1e-6, "kv_tokens_per_slot": 0.0})
    return replace(pair, profile=pair.profile.model_copy(update={"memory": memory}))


@given(st.integers(1, 10**6), st.sampled_from(LORA_RANKS))
def test_one_slot_more_would_be_too_many(side: int, rank: int) -> None:
    most = most_slots(side, rank)
    assert most * rank * side < REACHED <= (most + 1) * rank * side


def test_the_largest_side_of_a_projection_on_one_gpu(roomy: Pair) -> None:
    assert largest_side(roomy) == 14_336
    large = replace(roomy, derived_from=model_shape.find("meta-llama/Llama-3.1-70B-Instruct"))
    assert largest_side(large) == 28_672
    assert most_slots(28_672, 256) < 384, "what ended the timing on an H200"
    named = roomy.profile.pair.model_copy(update={"model": "nobody/knows"})
    assert largest_side(replace(roomy, profile=roomy.profile.model_copy(update={"pair": named}))) is None


def test_no_slots_are_advised_that_kernels_do_not_reach(roomy: Pair) -> None:
    mix = workload(np.full(400, 0.02), 512)
    most = most_slots(14_336, 512)
    assert max(Configurator(roomy, Objective()).slots(mix)) == most < 400
    with pytest.raises(
        DoesNotFitError, match=rf"the fixed max_loras is 400, but vLLM's LoRA kernels reach {most} slots"
    ):
        Configurator(roomy, Objective(), {"max_loras": 400}).configure(mix)
