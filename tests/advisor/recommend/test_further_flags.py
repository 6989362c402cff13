"""Flags that are told beside the answer: what they would change, and for which vLLM."""

from __future__ import annotations

import re
from typing import Any

import pytest

from advisor.deploy.arguments.spellings import setting
from advisor.deploy.vllm_version import release
from advisor.inventory.inventory import parse
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.further_flags import SINCE
from advisor.recommend.objective import Objective, ObjectiveName
from advisor.recommend.recommend import recommend
from advisor.report import Format, write
from advisor.zoo.pairs import find_pair
from tests.advisor import inventories
from twin.service_level import Limit


def of_vllm(version: str) -> dict[str, Any]:
    return {"gpu": "a100-80gb", "vllm": version}


CURRENT = of_vllm("0.33")


def answer(objective: Objective | None = None, *, mean: float = 223, **more: Any) -> Recommendation:
    adapter = {"name": "t", "count": 64, "rank": 16, "rate": 0.02} | more.pop("adapter", {})
    document = {
        "model": "Llama-3.1-8B-Instruct", "gpu": "h100-64gb", "adapters": [adapter],
        "lengths": {"input": {"mean": mean, "std": mean}, "output": {"mean": 196, "std": 181}}, **more,
    }  # fmt: skip
    inventory = parse(inventories.toml(document))
    pair = find_pair(inventory.model, inventory.one_gpu(), None, inventory.engine)
    return recommend(inventory, pair, objective or Objective())


def told(recommendation: Recommendation, flag: str) -> str:
    return " ".join(f"{each.flag}: {each.why}" for each in recommendation.further if each.flag.startswith(flag))


@pytest.mark.parametrize("name", SINCE)
def test_flags_came_when_vllms_own_history_says(name: str) -> None:
    spelling = setting(name)
    assert spelling is not None
    *_, last = (int(part) for part in spelling.absent.split(".")[:2])
    assert SINCE[name] == (0, last + 1) and release(spelling.absent)


@pytest.mark.parametrize(("today", "advised"), [(16, 32), (32, 32), (100, 100), (1500, 1500), (4096, 32), (None, 32)])
def test_seats_of_today_stay_where_they_are_enough(today: int | None, advised: int) -> None:
    more = {} if today is None else {"server": {"max_num_seqs": today, "max_num_batched_tokens": 4096}}
    said = told(answer(**more), "--max-num-seqs=")
    assert said.startswith(f"--max-num-seqs={advised}: ")
    assert ("as it is today" in said) == (today == advised)


def test_long_prompts_trade_itl_against_ttft() -> None:
    long = told(answer(mean=4000), "--max-num-batched-tokens=2048")
    assert "512: " in long and "8,192: " in long
    assert not told(answer(mean=20), "--max-num-batched-tokens")


def test_a_tail_of_itl_asks_for_smaller_steps() -> None:
    limit = Objective(ObjectiveName.LATENCY, itl_limit=Limit(0.06, "p99"))
    found = answer(limit, mean=2000, adapter={"rate": 0.002})
    said = told(found, "--max-num-batched-tokens=1024 --max-num-seqs=1024")
    assert "within 60 ms" in said
    assert found.flags["max_num_batched_tokens"] == 2048


def test_a_limit_of_the_batch_leaves_room_for_what_is_expected() -> None:
    assert "requests are in flight" in told(answer(), "--max-num-seqs=")
    (calm,) = (each for each in answer().further if each.flag.startswith("--max-num-seqs="))
    (bursty,) = (each for each in answer(adapter={"cv": 4}).further if each.flag.startswith("--max-num-seqs="))
    assert int(bursty.flag.partition("=")[2]) > int(calm.flag.partition("=")[2])


def test_adapters_that_touch_few_modules_need_slots_for_these_alone() -> None:
    few = told(answer(adapter={"target_modules": ["q_proj", "v_proj"]}, **CURRENT), "--lora-target-modules")
    assert few.startswith("--lora-target-modules q_proj qkv_proj v_proj:")
    everything = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    for modules in (everything, ["q_proj", "embed_tokens"]):
        assert not told(answer(adapter={"target_modules": modules}, **CURRENT), "--lora-target-modules")
    assert not told(answer(**CURRENT), "--lora-target-modules")


@pytest.mark.parametrize("name", SINCE)
def test_no_flag_is_advised_to_a_vllm_that_lacks_it(name: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    adapter = {"count": 150, "rate": 0.002, "target_modules": ["q_proj", "v_proj"]}
    more: dict[str, Any] = {"adapter": adapter, "fixed": {"max_loras": 128}}
    first = ".".join(map(str, SINCE[name]))
    assert told(answer(**more, **CURRENT), flag) and told(answer(**more, **of_vllm(first)), flag)
    for older in ("0.8.5", f"0.{SINCE[name][1] - 1}"):
        found = answer(**more, **of_vllm(older))
        assert flag not in write(found, Format.TEXT) and not told(found, flag)


def test_adapters_that_come_and_go_need_the_switch() -> None:
    found = answer(dynamic=True)
    assert found.document()["environment"] == {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve" in write(found, Format.TEXT)
    assert any("whoever reaches the port" in each for each in found.warnings)
    assert found.host_memory is not None and found.host_memory.gib == pytest.approx(64 * 0.0839e9 / 2**30, rel=0.01)
    assert not answer().environment and "environment" not in answer().document()


def test_of_answers_of_one_token_nobody_waits_between_tokens() -> None:
    one = {"mean": 1, "std": 0}
    found = answer(mean=4000, adapter={"output": one})
    assert "all others wait for" in told(found, "--max-num-batched-tokens")
    assert not told(found, "--max-num-seqs")


def test_rates_that_few_requests_tell_are_allowed_for_or_said_to_be() -> None:
    """`--max-num-seqs` was advised for a peak that took the rates of five requests as known."""
    more: dict[str, Any] = {"mean": 2000, "adapter": {"rate": 0.02}}
    few, known = (
        {each.flag.partition("=")[0]: each for each in answer(**more, **counted).further}
        for counted in ({"counted_requests": 5}, {})
    )
    seats = few.pop("--max-num-seqs")
    assert "even if 2.1 times as much comes as 5 requests tell" in seats.why
    assert int(seats.flag.partition("=")[2]) > int(known["--max-num-seqs"].flag.partition("=")[2])
    assert few
    for flag, each in few.items():
        assert each.why == f"{known[flag].why}; so far as 5 requests tell the traffic"


def test_what_prompts_share_is_no_part_of_a_long_step() -> None:
    whole = told(answer(mean=4000), "--max-num-batched-tokens")
    shared = told(answer(mean=4000, adapter={"shared_prefix": 3200}), "--max-num-batched-tokens")
    longest = [int(re.findall(r"a prompt of ([\d,]+)", each)[0].replace(",", "")) for each in (whole, shared)]
    assert longest[0] - longest[1] == pytest.approx(3200, abs=20)
    assert "beyond the shared prefix" in shared and "beyond" not in whole


def test_a_group_asked_at_the_same_moment_has_seats_and_fills_steps() -> None:
    """Of forty that come at once 32 seats were advised, and steps told of a single prompt."""
    more = {"count": 40, "rate": 0.01, "together": "panel"}
    (seats,) = (each for each in answer(adapter=more).further if each.flag.startswith("--max-num-seqs="))
    assert int(seats.flag.partition("=")[2]) >= 64
    assert "seldom more than 4" in seats.why
    said = told(answer(adapter=more), "--max-num-batched-tokens=2048")
    assert "prompts of 8,920 tokens that come at the same moment make steps of up to" in said
    assert "a prompt of" not in said
    long = told(answer(mean=4000, adapter={"count": 2, "rate": 0.01, "together": "pair"}), "--max-num-batched-tokens")
    assert "a prompt of" in long, "one in a hundred is longer than two usual ones"
