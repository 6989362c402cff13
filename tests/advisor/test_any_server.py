"""Whatever model of the catalogue is served on whatever GPU, it is answered or refused in one line."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from advisor.derive.engine import Engine
from advisor.derive.gpus.gpu import catalogue
from advisor.derive.llm import model_shape
from advisor.errors import InputError
from advisor.inventory.inventory import Inventory
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.recommend.what_if.explore import explored
from advisor.report import Format, write
from advisor.zoo.pairs import find_pair
from tests.advisor.recommend.shipped.questions import workload

ORDINARY = {"gpu": "l4", "gpus": 1, "answer": 200.0}
"""A small card, and answers of a usual length."""


@settings(max_examples=60, deadline=None)
@given(
    model=st.sampled_from(sorted(model_shape.catalogue())),
    packing=st.sampled_from(["", "", "-AWQ", "-FP8"]),
    gpu=st.sampled_from(sorted(catalogue().gpus)),
    gpus=st.sampled_from([1, 2, 4, 8]),
    rank=st.sampled_from([8, 16, 64, 256, 512]),
    count=st.integers(1, 100),
    rate=st.sampled_from([0.001, 0.005, 0.02, 0.2]),
    prompt=st.sampled_from([100.0, 900.0, 3000.0, 9000.0]),
    answer=st.sampled_from([5.0, 200.0, 2000.0]),
)
# One in a thousand of the requests is longer than any that the model takes.
@example(model="Llama-2-7b-chat-hf", packing="", rank=64, count=30, rate=0.005, prompt=900.0, **ORDINARY)
# By themselves those that are admitted miss the objective.
@example(model="Qwen2.5-14B-Instruct", packing="-AWQ", rank=16, count=60, rate=0.02, prompt=3000.0, **ORDINARY)
def test_any_model_on_any_gpu(
    *,
    model: str,
    packing: str,
    gpu: str,
    gpus: int,
    rank: int,
    count: int,
    rate: float,
    prompt: float,
    answer: float,
) -> None:
    try:
        pair = find_pair(model + packing, gpu, engine=Engine(tensor_parallel=gpus))
    except InputError as error:
        assert "\n" not in str(error)
        return
    mix = workload(np.full(count, rate), rank, (prompt, 0.7 * prompt, answer, 0.9 * answer))
    names = tuple(f"a-{i}" for i in range(count))
    asked = Inventory(model + packing, gpu, names, (None,) * count, mix, {}, {})
    found = recommend(asked, pair, Objective())
    assert found.feasible == bool(found.admission.adapters)
    if found.settings is not None and found.expected is not None:
        assert found.settings.max_model_len <= pair.profile.memory.max_model_len
        assert found.expected.kv_capacity_tokens >= found.settings.max_model_len
    assert write(explored(asked, pair, Objective(), found), Format.TEXT)
