"""What people describe in public, stated as an inventory: what the answer must say, whatever its numbers."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest

from advisor.inventory.inventory import parse
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.objective import Objective, ObjectiveName
from advisor.recommend.recommend import recommend
from advisor.report import Format, write
from advisor.zoo.pairs import find_pair
from tests.advisor import inventories
from twin.service_level import Limit


def adapters(count: int = 32, rank: int = 16, rate: float = 0.05, name: str = "t", **more: Any) -> dict[str, Any]:
    return {"name": name, "count": count, "rank": rank, "rate": rate, **more}


def lengths(inputs: float = 223, outputs: float = 196) -> dict[str, Any]:
    return {"input": {"mean": inputs, "std": 0.85 * inputs}, "output": {"mean": outputs, "std": 0.9 * (outputs - 1)}}


class Situation(NamedTuple):
    """An inventory, and what is to be answered."""

    adapters: list[dict[str, Any]]
    said: tuple[str, ...] = ()
    """What the text says somewhere."""
    feasible: bool = True
    all: bool = True
    """Whether every adapter is admitted."""
    flags: dict[str, tuple[float, float]] = {}  # noqa: RUF012  # of a tuple, never changed
    """Between which values a flag has to be."""
    more: dict[str, Any] = {}  # noqa: RUF012
    """What else the inventory says."""
    objective: Objective = Objective()


def latency(**limits: Limit) -> Objective:
    return Objective(ObjectiveName.LATENCY, **limits)


SITUATIONS = {
    "a classifier's single token": Situation(
        [adapters(rate=0.5)],
        ("1 token at most", "tells next to nothing", "there is no ITL"),
        more={"lengths": lengths(600, 1)},
    ),
    "every request fans out to a panel of eight": Situation(
        [adapters(8, together="panel"), adapters(8, name="u")],
        ("8 adapters of 'panel' are asked at the same moment",),
        flags={"max_loras": (8, 16)},
    ),
    "of a panel some are never asked": Situation(
        [adapters(6, rate=0.5, together="panel"), adapters(4, rate=0, name="retired", together="panel")],
        ("the 6 adapters of 'panel' are asked at the same moment", "let the digital twin verify"),
        flags={"max_loras": (6, 6)},
    ),
    "a panel larger than the slots that are fixed": Situation(
        [adapters(8, rate=0.01, together="panel")],
        ("with 4 slots some wait for a whole answer",),
        more={"fixed": {"max_loras": 4}},
    ),
    "a first token within 100 ms": Situation(
        [adapters()], ("ttft_limit is 0.1 s, outside",), objective=Objective(ttft_limit=Limit(0.1))
    ),
    "a first token sooner than any GPU has it": Situation(
        [adapters(2)], ("TTFT", "> 5 ms"), feasible=False, all=False, objective=Objective(ttft_limit=Limit(0.005))
    ),
    "P95 of the first token": Situation(
        [adapters()],
        ("TTFT P95 is limited", "the digital twin can tell"),
        objective=Objective(ttft_limit=Limit(0.5, "p95")),
    ),
    "P99 between tokens": Situation(
        [adapters(8, rate=0.01)], objective=latency(itl_limit=Limit(0.2, "p99"), ttft_limit=Limit(5, "p99"))
    ),
    "smooth answers for more than fit": Situation(
        [adapters(400)], ("rejected", "principle"), all=False, objective=latency(itl_limit=Limit(0.03))
    ),
    "thousands that are never asked": Situation(
        [adapters(10), adapters(5000, rate=0, name="idle")],
        ("holds 409 adapters", "if they are ever asked"),
        flags={"max_cpu_loras": (409, 409)},
        more={"host_memory_gib": 32},
    ),
    "thousands that are seldom asked": Situation(
        [adapters(3000, rate=0.0005)],
        ("so no more are admitted", "all others wait"),
        all=False,
        flags={"max_cpu_loras": (1, 1280)},
        more={"host_memory_gib": 100},
    ),
    "a host with little memory": Situation(
        [adapters(64)], ("host memory of 2 GiB holds 25 adapters",), all=False, more={"host_memory_gib": 2}
    ),
    "a GPU that is shared": Situation(
        [adapters(64)],
        ("KV cache", "max_model_len 131,072"),
        all=True,
        flags={"gpu_memory_utilization": (0.45, 0.45), "max_model_len": (1024, 65536)},
        more={"fixed": {"gpu_memory_utilization": 0.45}},
    ),
    "a share of the GPU that holds not even the model": Situation(
        [adapters(4)],
        ("leaves nothing for a KV cache",),
        feasible=False,
        all=False,
        more={"fixed": {"gpu_memory_utilization": 0.25}},
    ),
    "one adapter larger than all others": Situation(
        [adapters(30, rank=8), adapters(1, rank=512, name="big")], ("big-0", "left out"), all=False
    ),
    "adapters of an odd rank": Situation([adapters(4, rank=24)], flags={"max_lora_rank": (32, 32)}),
    "slots of a fixed rank that some exceed": Situation(
        [adapters(8, rank=8), adapters(2, rank=64, name="big")],
        ("rank above the fixed max_lora_rank 8", "which vLLM refuses to load"),
        all=False,
        more={"fixed": {"max_lora_rank": 8}},
    ),
    "a single adapter": Situation([adapters(1, rate=2)], flags={"max_loras": (1, 1), "max_cpu_loras": (1, 1)}),
    "one adapter that fills a GPU by itself": Situation(
        [adapters(20, rate=0.02), adapters(1, rate=200, name="big")], ("big-0",), all=False
    ),
    "mostly the base model": Situation(
        [adapters(10)], ("base model", "name no adapter"), more={"base": {"rate": 5.0}}
    ),
    "a base model that leaves nothing": Situation(
        [adapters(10)],
        ("alone more than one GPU serves, which is about", "`advisor place` spreads them"),
        feasible=False,
        all=False,
        more={"base": {"rate": 200.0}},
    ),
    "documents of 60,000 tokens": Situation(
        [adapters(3, rate=0.003)], ("outside", "--max-num-batched-tokens"), more={"lengths": lengths(40_000, 500)}
    ),
    "what runs today has one slot": Situation(
        [adapters(64)], ("Changes", "max_loras"), flags={"max_loras": (8, 64)}, more={"server": {"max_loras": 1}}
    ),
    "tenants come and go": Situation(
        [adapters(64)], ("VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve",), more={"dynamic": True}
    ),
    "a batch of sixteen seats": Situation(
        [adapters(128)], all=False, flags={"max_num_seqs": (16, 16)},
        more={"fixed": {"max_num_seqs": 16}},
    ),
    "adapters on two modules": Situation(
        [adapters(64, target_modules=["q_proj", "v_proj"])], ("--lora-target-modules",), more={"vllm": "0.33"}
    ),
    "bursts": Situation([adapters(64, cv=5)], flags={"max_loras": (2, 64)}),
    "a day with a peak": Situation(
        [adapters(64)], ("busiest minute",), more={"phases": [{"duration": 3600}, {"duration": 3600, "scale": 3}]}
    ),
}  # fmt: skip


def answer(situation: Situation) -> Recommendation:
    document = {
        "model": "Llama-3.1-8B-Instruct", "gpu": "h100-64gb", "lengths": lengths(), "adapters": situation.adapters,
        **situation.more,
    }  # fmt: skip
    inventory = parse(inventories.toml(document))
    pair = find_pair(inventory.model, inventory.one_gpu(), None, inventory.engine)
    return recommend(inventory, pair, situation.objective)


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_situation_is_answered_in_its_own_terms(name: str) -> None:
    situation = SITUATIONS[name]
    told = answer(situation)
    text = " ".join(write(told, Format.TEXT).split())  # however it is wrapped
    assert told.feasible == situation.feasible, text
    assert (not told.admission.rejected) == situation.all, text
    for words in situation.said:
        assert words in text
    for flag, (low, high) in situation.flags.items():
        assert low <= told.flags[flag] <= high, f"{flag} {told.flags[flag]}"
    assert "nan" not in text.split() and "-0" not in text.split()


def test_no_adapter_is_left_out_that_one_left_out_anyway_made_room_for() -> None:
    told = answer(SITUATIONS["one adapter larger than all others"])
    assert told.admission.rejected == ("big-0",)


def test_answers_of_one_token_have_no_time_between_tokens() -> None:
    told = answer(SITUATIONS["a classifier's single token"])
    figures, text = told.document()["expected"], write(told, Format.TEXT)
    assert not [name for name in figures if name.startswith("itl")] and "itl_ms" not in told.document()["without_lora"]
    assert "  ITL " not in text and "answer token" not in text and figures["ttft_ms"] > 0
    for form in (Format.JSON, Format.TOML, Format.YAML):
        assert "itl" not in write(told, form).split("warnings")[0].replace("no ITL", "")


def test_an_adapter_that_is_too_much_alone_is_said_to_be() -> None:
    told = answer(Situation([adapters(1, rate=40)], feasible=False, all=False))
    text = " ".join(write(told, Format.TEXT).split())
    assert "not feasible: not even the one adapter is served, of " in text and "`advisor place` shares" in text
    assert "with all 1" not in text and not re.search(r"\b1 adapters\b", text)


def test_what_lies_outside_the_training_data_is_said_with_its_meaning() -> None:
    warnings = answer(SITUATIONS["a classifier's single token"]).warnings
    assert any(
        told.startswith("output_spread is 0 (standard deviation of answers / mean), outside") for told in warnings
    )
