"""Inventories through the digital twin."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.inventory.inventory import load
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.simulation import prepare, verified
from advisor.zoo.pair import Pair
from tests.advisor import inventories
from tests.advisor.inventories import PLAIN
from twin.service_level import Limit

SERVER = """
[server]
max_loras = 4
max_cpu_loras = 50
max_lora_rank = 32
max_num_seqs = 64
"""


def test_defaults_hold_every_adapter(zoo: Path, tmp_path: Path) -> None:
    server = prepare(inventories.write(tmp_path), zoo).server
    assert (server.max_loras, server.max_cpu_loras, server.max_lora_rank) == (61, 61, 16)
    assert (server.max_num_seqs, server.max_model_len) == (512, 16_384)


def test_settings_in_force_are_simulated_unless_others_are_given(zoo: Path, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, PLAIN + SERVER)
    server = prepare(path, zoo).server
    assert (server.max_loras, server.max_cpu_loras, server.max_lora_rank, server.max_num_seqs) == (4, 50, 32, 64)
    server = prepare(path, zoo, max_loras=9, max_lora_rank=16).server
    assert (server.max_loras, server.max_lora_rank) == (9, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_loras": 51}, r"vLLM refuses these settings: max_cpu_loras \(50\)"),
        ({"max_lora_rank": 8}, "an adapter has rank 16; vLLM refuses to load it with max_lora_rank 8"),
        ({"max_lora_rank": 24}, "vLLM refuses these settings: max_lora_rank must be one of"),
    ],
)
def test_settings_that_vllm_refuses(zoo: Path, tmp_path: Path, settings: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(inventories.write(tmp_path, PLAIN + SERVER), zoo, **settings)


def test_measures(zoo: Path, tmp_path: Path) -> None:
    simulation = prepare(inventories.write(tmp_path), zoo, max_loras=16)
    measures = simulation.measure(duration_s=600, seed=1, objective=Objective())
    assert {
        "inventory", "oom", "kv_capacity_tokens", "offered_tok_s", "throughput_tok_s", "starved", "steady", "itl_ms",
        "ttft_ms", "ttft_p99_ms", "ttft_penalised_ms", "arrivals", "completed", "running_mean", "waiting_mean",
        "adapter_loads", "wall_s",
    } <= set(measures)  # fmt: skip
    assert measures["throughput_tok_s"] == pytest.approx(measures["offered_tok_s"], rel=0.1)
    assert measures["offered_tok_s"] == pytest.approx(6.025 * 210)
    again = simulation.measure(duration_s=600, seed=1, objective=Objective())
    assert {**again, "wall_s": 0} == {**measures, "wall_s": 0}
    assert simulation.measure(duration_s=600, seed=1, objective=Objective(ttft_limit=Limit(1e-6)))["steady"] is False


def test_a_server_out_of_memory_measures_nothing(zoo: Path, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, PLAIN.replace("rank = 16", "rank = 512"))
    measures = prepare(path, zoo).measure(duration_s=600, seed=0, objective=Objective())
    assert measures["oom"] is True
    assert measures["steady"] is False
    assert measures["itl_ms"] is None


def test_a_workload_too_large_to_simulate(zoo: Path, tmp_path: Path) -> None:
    simulation = prepare(inventories.write(tmp_path, PLAIN.replace("0.1", "1000")), zoo)
    with pytest.raises(InputError, match="too many to simulate"):
        simulation.measure(duration_s=3600, seed=0, objective=Objective())


def test_verification_simulates_what_is_recommended(pair: Pair, tmp_path: Path) -> None:
    inventory = load(inventories.write(tmp_path, PLAIN.replace("0.1", "0.2")))
    answer = recommend(inventory, pair, Objective())
    measures = verified(answer, inventory, pair.profile, Objective()).verified
    assert answer.expected is not None
    assert measures is not None
    assert measures["kv_capacity_tokens"] == answer.expected.kv_capacity_tokens
    assert measures["offered_tok_s"] == pytest.approx(answer.admission.token_rate, abs=0.001)


def test_a_server_that_does_not_start_is_told_what_would_let_it(zoo: Path, tmp_path: Path) -> None:
    simulation = prepare(inventories.write(tmp_path, PLAIN), zoo, max_loras=16)
    said = simulation.refusal(9_000)
    assert "does not start" in said and "9,000 tokens of KV cache" in said and "max_model_len 16,384" in said
    (needed,) = re.findall(r"max_model_len = (\d+) in \[server\]", said)
    assert int(needed) <= 9_000
    assert "fewer slots" in simulation.refusal(100) and "[server]" not in simulation.refusal(100)


def test_adapters_of_a_group_are_asked_at_the_same_moment(zoo: Path, tmp_path: Path) -> None:
    grouped = PLAIN.replace("count = 60", 'count = 60\ntogether = "panel"')
    alone, together = (
        prepare(inventories.write(tmp_path, text), zoo).measure(duration_s=600, seed=1, objective=Objective())
        for text in (PLAIN, grouped)
    )
    assert together["offered_tok_s"] == alone["offered_tok_s"]
    assert together["ttft_ms"] > 1.5 * alone["ttft_ms"]


def test_an_answer_is_verified_in_the_busiest_hour_though_the_night_comes_first(pair: Pair, tmp_path: Path) -> None:
    phases = "[[phases]]\nduration = 40_000\nscale = 0\n[[phases]]\nduration = 40_000\n"
    day = load(inventories.write(tmp_path, PLAIN + phases))
    answer = recommend(day, pair, Objective())
    found = verified(answer, day, pair.profile, Objective()).verified
    assert found is not None
    assert found["offered_tok_s"] == pytest.approx(answer.admission.token_rate, abs=0.001)
    assert found["arrivals"] == pytest.approx(3600 * answer.admission.request_rate, rel=0.1)
