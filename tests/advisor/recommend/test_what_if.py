"""What binds and what would help: numbers that the models answer when they are asked again, and no others."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.inventory.inventory import Inventory, parse
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.objective import Objective, ObjectiveName
from advisor.recommend.recommend import recommend
from advisor.recommend.what_if.explore import MOST_ADAPTERS, explored
from advisor.recommend.what_if.growth import grow
from advisor.recommend.what_if.mix import Mix
from advisor.report import Format, write
from advisor.report.prose.outlook import takes
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import find_pair
from tests.advisor import inventories
from twin.service_level import Limit

MIX = """
model = "meta-llama/Llama-3.1-8B-Instruct"
gpu = "h100-64gb"
[lengths]
input = { mean = 223, std = 191 }
output = { mean = 196, std = 181 }
[[adapters]]
name = "many"
count = {count}
rank = {rank}
rate = 0.1
"""


def inventory(more: str = "", *, count: int = 60, rank: int = 16) -> Inventory:
    return parse(MIX.replace("{count}", str(count)).replace("{rank}", str(rank)) + more)


def answered(asked: Inventory, objective: Objective | None = None) -> Recommendation:
    pair, objective = find_pair(asked.model, asked.gpu), objective or Objective()
    return explored(asked, pair, objective, recommend(asked, pair, objective))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([Objective(), Objective(ObjectiveName.LATENCY, itl_limit=Limit(0.05))]))
def test_what_is_told_hangs_together(pair: Pair, seed: int, objective: Objective) -> None:
    asked = inventories.random(seed)
    plain = recommend(asked, pair, objective)
    answer = explored(asked, pair, objective, plain)
    assert replace(answer, binding=None, levers=()) == plain
    assert len(answer.levers) <= 4
    for lever in answer.levers:
        assert lever.more > 0 or lever.itl_ms is not None or "of the requests refused instead of" in lever.note
        assert lever.adapters is None or lever.adapters >= lever.more > 0
    binding = answer.binding
    if not answer.feasible or binding is None:
        assert binding is None
        return
    assert 0 < binding.load <= 1
    assert binding.adapters >= binding.admitted
    assert all(np.isfinite(share) and share >= 0 for share in binding.at_limit.shares.values())
    assert bool(binding.beyond) == bool(binding.missed)
    assert binding.what != "nothing" or binding.at_least


def test_room_is_what_the_models_admit_and_no_more(pair: Pair) -> None:
    asked, objective = inventories.of(inventories.random_mix(np.random.default_rng(1), 40)), Objective()
    answer = explored(asked, pair, objective, recommend(asked, pair, objective))
    assert answer.binding is not None and not answer.admission.rejected
    mix = Mix(asked, pair, objective)
    assert not mix.misses(answer.binding.adapters)
    assert answer.binding.at_least or mix.misses(answer.binding.beyond)


@pytest.mark.parametrize(
    ("more", "what", "lever", "change"),
    [
        (
            "[fixed]\nmax_loras = 4\n",
            "adapter_slots",
            "max_loras left open",
            lambda asked: replace(asked, fixed={}, server={}),
        ),
        (
            "[fixed]\nmax_num_seqs = 16\n",
            "max_num_seqs",
            "max_num_seqs left open",
            lambda asked: replace(asked, fixed={}, server={}),
        ),
        (
            "[fixed]\nmax_num_seqs = 16\nmax_num_batched_tokens = 512\n",  # seats are no more than tokens
            "max_num_seqs",
            "max_num_seqs 512, not fixed at 16",
            lambda asked: replace(asked, fixed={**asked.fixed, "max_num_seqs": 512}, server={}),
        ),
        (
            '[[adapters]]\nname = "big"\nrank = 512\nrate = 0.1\ncount = 4\n',
            "slot_rank",
            "4 adapters at rank 16 instead of 512",
            lambda asked: replace(asked, workload=replace(asked.workload, rank=np.minimum(asked.workload.rank, 16.0))),
        ),
    ],
)
def test_a_lever_brings_what_the_changed_inventory_is_answered(
    more: str, what: str, lever: str, change: Callable[[Inventory], Inventory]
) -> None:
    asked = inventory(more, count=100)
    answer = answered(asked)
    assert answer.admission.rejected and answer.binding is not None
    assert answer.binding.what == what
    (found,) = (each for each in answer.levers if each.change.startswith(lever))
    again = answered(change(asked))
    assert found.adapters == again.admission.adapters == answer.admission.adapters + found.more
    assert found.everyone == (not again.admission.rejected)


def small_gpu(model: str, gpu: str, tokens: tuple[int, int, int, int], count: int, rate: float) -> Inventory:
    """Adapters alike on a GPU of 256 seats; tokens are mean and deviation of prompts, then of answers."""
    asked, asked_std, answered_with, answered_std = tokens
    return parse(
        f'model = "{model}"\ngpu = "{gpu}"\n'
        f"[lengths]\ninput = {{ mean = {asked}, std = {asked_std} }}\n"
        f"output = {{ mean = {answered_with}, std = {answered_std} }}\n"
        f'[[adapters]]\nname = "t"\ncount = {count}\nrank = 16\nrate = {rate}\n'
    )


def test_a_batch_that_is_full_is_made_larger() -> None:
    """It was "no more requests are served at once", and nothing of how many more there could be. Seven tenths of the
    seats are in use on average here; "compute" was told, and twice the seats serve a sixth more."""
    asked = small_gpu("Llama-3.2-1B-Instruct", "l4", (100, 100, 400, 400), 60, 0.6)
    pair = find_pair(asked.model, asked.gpu, None, asked.engine)
    answer = explored(asked, pair, Objective(), recommend(asked, pair, Objective()))
    assert answer.binding is not None and answer.binding.what == "max_num_seqs"
    (lever,) = (each for each in answer.levers if each.change == "--max-num-seqs=512")
    larger = recommend(replace(asked, fixed={"max_num_seqs": 512}), pair, Objective())
    assert lever.adapters == larger.admission.adapters == answer.admission.adapters + lever.more
    assert lever.adapters >= 1.1 * answer.admission.adapters


def test_a_batch_with_free_seats_is_not_what_binds() -> None:
    """Of 236 adapters on an A10G half of the seats are in use, and twice as many would serve 7 % more."""
    asked = small_gpu("Qwen2.5-1.5B-Instruct", "a10g", (223, 191, 196, 181), 300, 0.04)
    pair = find_pair(asked.model, asked.gpu, None, asked.engine)
    answer = explored(asked, pair, Objective(), recommend(asked, pair, Objective()))
    assert answer.binding is not None and answer.binding.what == "compute"


def test_host_memory_binds_where_it_holds_no_more() -> None:
    answer = answered(inventory("[fixed]\nmax_cpu_loras = 30\n", count=60))
    assert answer.binding is not None
    assert (answer.binding.what, answer.binding.adapters) == ("host_memory", 30)
    assert any(each.change.startswith("max_cpu_loras left open") for each in answer.levers)


def test_memory_that_the_longest_request_keeps_is_a_lever() -> None:
    answer = answered(inventory("[fixed]\ngpu_memory_utilization = 0.6\n", rank=128, count=200))
    assert any(each.change.startswith(("--max-model-len", "gpu_memory_utilization")) for each in answer.levers)


def test_slots_that_are_fixed_bind_where_others_would_do() -> None:
    """Rather than how sure the models are: with a slot left open they are."""
    answer = answered(inventory("[fixed]\nmax_loras = 2\n"))
    assert answer.admission.rejected and answer.binding is not None
    assert answer.binding.what == "adapter_slots" and answer.binding.unsure_up_to is None
    assert answer.levers[0].change == "max_loras left open, not fixed at 2"


def test_that_requests_are_refused_is_told_first_and_what_serves_them() -> None:
    answer = answered(inventory("[fixed]\nmax_model_len = 512\n"))
    assert answer.expected is not None and answer.expected.refused_share > 0.2
    first = write(answer, Format.TEXT, width=200).partition("\n")[0]
    assert re.search(
        r"serves all 60 adapters, but vLLM refuses [23]\d% of the requests, longer than max_model_len$", first
    )
    lever = answer.levers[0]
    assert re.fullmatch(r"max_model_len [\d,]+, not fixed at 512", lever.change)
    assert re.match(r"0\.\d% of the requests refused instead of [23]\d\.\d%", lever.note)
    assert not any("max_model_len left open" in each.change for each in answer.levers)


def test_of_one_adapter_figures_are_no_zeros_and_nobody_waits_for_another() -> None:
    asked = inventory("", count=1)
    asked = replace(asked, workload=replace(asked.workload, rate=np.array([1e-3])))
    text = write(answered(asked), Format.TEXT)
    assert "one GPU serves the one adapter\n" in text
    assert not re.search(
        r"\b(0|0\.0) (requests|tokens/s|GiB)|seldom more than 0|(?<![\d,.])1 (slots|adapters)|wait for a slot", text
    )


def test_what_lora_costs_is_told_last_and_of_the_base_model() -> None:
    answer = answered(inventory())
    assert answer.without_lora is not None
    assert answer.levers[-1].change.startswith("the same traffic without LoRA")
    assert answer.levers[-1].itl_ms == answer.without_lora.itl_ms


def test_an_adapter_that_brings_most_of_the_traffic_is_named() -> None:
    others = Path("examples/inventory.toml").read_text(encoding="utf-8")
    answer = answered(parse(others + '[[adapters]]\nname = "busy"\nrank = 16\nrate = 4.0\n'))
    assert any(each.change.startswith("without busy, which brings") for each in answer.levers)


def test_very_many_adapters_are_not_asked_about_again_and_that_is_said() -> None:
    asked = inventory(count=MOST_ADAPTERS + 1)
    asked = replace(asked, workload=replace(asked.workload, rate=np.full(len(asked), 1e-5)))
    answer = answered(asked)
    assert answer.binding is None and not answer.levers
    assert any("is left out" in warning and "would take seconds" in warning for warning in answer.warnings)


def test_of_thousands_that_are_not_served_some_are_asked_about() -> None:
    """Whoever is not served changes nothing: with six times as many the answer is the same, but for how many ask."""
    few, many = (answered(thousands(count)) for count in (5_000, 30_000))
    assert few.binding is not None and many.binding is not None
    assert many.admission.adapters == pytest.approx(few.admission.adapters, rel=0.02)
    assert many.binding.what == few.binding.what and len(many.levers) == len(few.levers) > 1
    for ours, theirs in zip(few.levers, many.levers, strict=True):
        assert not theirs.everyone and (theirs.adapters or 0) == pytest.approx(ours.adapters or 0, rel=0.02)
    assert any(each.change.startswith("30,000 adapters at rank") for each in many.levers)
    assert not any("left out" in warning for warning in many.warnings)


def test_thousands_that_are_never_asked_are_no_reason_to_leave_it_out() -> None:
    idle = '[[adapters]]\nname = "idle"\ncount = 20000\nrank = 16\nrate = 0\n'
    answer = answered(inventory(idle, count=50))
    assert answer.binding is not None and answer.levers and not answer.admission.rejected


def test_a_shorter_longest_request_lets_in_whom_large_slots_leave_no_room_for() -> None:
    """Slots of rank 256 beside a request of 131,072 tokens: nobody asked what a shorter one would let in."""
    big = '[[adapters]]\nname = "big"\nrank = 256\nrate = 0.02\n[fixed]\ngpu_memory_utilization = 0.65\n'
    asked = inventory(big, count=40, rank=8)
    rate = np.full(len(asked), 0.02)
    asked = replace(asked, workload=replace(asked.workload, rate=rate))
    answer = answered(asked)
    assert answer.admission.rejected == ("big",)
    (lever,) = (each for each in answer.levers if each.change.startswith("--max-model-len="))
    assert (lever.adapters, lever.everyone) == (41, True)
    shorter = {**asked.fixed, "max_model_len": int(lever.change.partition("=")[2])}
    found = recommend(replace(asked, fixed=shorter), find_pair(asked.model, asked.gpu), Objective())
    assert found.admission.adapters == 41 and not found.admission.rejected


def test_adapters_that_are_never_asked_are_where_the_host_has_room_for_them() -> None:
    """ "They take host memory only" stood beside a warning that most of them are read from disk."""
    idle = '[[adapters]]\nname = "idle"\ncount = 3000\nrank = 16\nrate = 0\n'
    asked = replace(inventory(idle, count=50), host_memory_gib=20.0)
    answer = recommend(asked, find_pair("llama-3.1-8b-instruct", "h100-64gb"), Objective())
    assert answer.settings is not None
    kept = answer.settings.max_cpu_loras - 50
    assert 0 < kept < 3000
    text = " ".join(write(answer, Format.TEXT).split())
    assert f"host memory has room for {kept:,} of them, and {3000 - kept:,} stay on disk" in text
    assert "host memory only" not in text and "the others are read from disk" in text
    assert "50 adapters admitted: all that are asked. With the 3,000 that are never asked, 3,050." in text


@pytest.mark.parametrize(("rank", "cost"), [(16, "host memory only"), (64, "every slot is of rank 64 for theirs")])
def test_adapters_that_are_never_asked_are_told_apart_from_those_that_are_counted(rank: int, cost: str) -> None:
    idle = f'[[adapters]]\nname = "idle"\ncount = 3000\nrank = {rank}\nrate = 0\n'
    answer = answered(inventory(idle, count=50))
    assert answer.binding is not None
    assert (answer.admission.idle, answer.admission.asked, answer.document()["admission"]["idle"]) == (3000, 50, 3000)
    text = " ".join(write(answer, Format.TEXT).split())
    assert "admitted 3,050 of 3,050 adapters" in text and "3,000 of them are never asked" in text and cost in text
    assert f"of the limit, {answer.binding.adapters:,} adapters of this mix with traffic: room for" in text
    assert "of the 50 adapters with traffic" in text
    for lever in (each for each in answer.levers if each.adapters is not None):
        assert f"({lever.adapters:,} with traffic)" in text
    drawn = grow(inventory(idle, count=50), find_pair("llama-3.1-8b-instruct", "h100-64gb"), Objective(), answer)
    assert drawn is not None and answer.settings is not None
    (curve,) = (each for each in drawn.curves if each.max_loras == answer.settings.max_loras)
    assert any(point.adapters == 50 for point in curve.points)
    assert "adapters with traffic, with slots to match." in takes(drawn, answer)


def test_idle_adapters_on_disk_take_no_place_of_busy_ones() -> None:
    idle = '[[adapters]]\nname = "idle"\ncount = 1000\nrank = 16\nrate = 0\n'
    answer = answered(replace(inventory(idle, count=5), host_memory_gib=8.0))
    assert answer.flags["max_cpu_loras"] < 1005 and not answer.admission.rejected
    assert answer.binding is not None and answer.binding.what != "host_memory" and answer.binding.adapters > 5


def thousands(count: int) -> Inventory:
    asked = inventory(count=count)
    rate, rank = (np.full(len(asked), each) for each in (0.002, 32.0))
    return replace(asked, workload=replace(asked.workload, rate=rate, rank=rank))


@pytest.mark.parametrize(
    "more",
    [
        "[fixed]\nmax_loras = 1\n",
        "[fixed]\nmax_num_seqs = 4\n",
        "[fixed]\nmax_num_seqs = 256\nmax_num_batched_tokens = 256\n",
        "[fixed]\ngpu_memory_utilization = 0.45\n",
        "[base]\nrate = 10\n",
    ],
)
def test_nobody_holds_more_than_there_is(more: str) -> None:
    for count in (6, 400):
        answer = answered(inventory(more, count=count))
        if (binding := answer.binding) is None:
            continue
        told = binding.document()
        shares = [*told["at_limit"].values(), *(told["in_flight"][name] for name in told["at_limit"])]
        assert max(shares) <= 1
        text = " ".join(write(answer, Format.TEXT).split())
        assert not [share for share in re.findall(r"(\d+)%", text.split("Further flags")[0]) if int(share) > 100]
        for in_flight in (binding.in_flight, binding.at_limit):
            assert in_flight.used == {name: min(share, 1.0) for name, share in in_flight.shares.items()}


def test_what_is_full_is_said_to_be_and_that_requests_wait() -> None:
    answer = answered(inventory("[fixed]\nmax_loras = 60\n"))
    assert answer.binding is not None
    shares = {**answer.binding.in_flight.shares, "kv_cache": 1.12}
    crowded = replace(answer.binding, in_flight=replace(answer.binding.in_flight, shares=shares))
    full = replace(answer, binding=crowded)
    assert "in use: KV cache full (requests wait), a slot for each adapter" in " ".join(
        write(full, Format.TEXT).split()
    )
    assert full.document()["binding"]["in_flight"]["kv_cache"] == 1.0


def test_slots_that_requests_wait_for_are_more_than_nothing() -> None:
    """Eight adapters on two slots: far from a limit of ten seconds, but requests wait; "nothing yet" stood there."""
    patient = Objective(ttft_limit=Limit(10.0))
    answer = answered(inventory("\n[fixed]\nmax_loras = 2\n", count=8), patient)
    assert answer.binding is not None and answer.binding.load < 1 and not answer.admission.rejected
    assert answer.binding.in_flight.shares["adapter_slots"] > 1
    told = " ".join(write(answer, Format.TEXT).split())
    assert "What binds: nothing yet, but requests wait for adapter slots" in told
    assert "adapter slots full (requests wait)" in told
    roomy = " ".join(write(answered(inventory(count=8), patient), Format.TEXT).split())
    assert "What binds: nothing yet load" in roomy


def test_slots_of_which_each_adapter_has_one_are_not_used_up() -> None:
    busy = MIX.replace("rate = 0.1", "rate = 0.8").replace("{count}", "20").replace("{rank}", "16")
    answer = answered(parse(busy))
    assert answer.settings is not None and answer.binding is not None
    assert answer.settings.max_loras == 20 and answer.binding.in_flight.shares["adapter_slots"] > 0.95
    now = " ".join(write(answer, Format.TEXT).split()).partition("in flight")[2]
    assert "a slot for each adapter" in now.partition("What would help")[0]


def test_full_slots_do_not_bind_where_more_would_not_help() -> None:
    """At the limit of a part of a GPU requests wait for slots that the rules leave few: compute is what binds."""
    answer = answered(inventory("\n[fixed]\ngpu_memory_utilization = 0.45\n").only([f"many-{i}" for i in range(20)]))
    assert answer.binding is not None
    shares = answer.binding.at_limit.shares
    told = " ".join(write(answer, Format.TEXT).split())
    waits = shares["adapter_slots"] > 1
    assert answer.binding.what != "adapter_slots" or not waits
    assert ("adapter slots full (requests wait; more slots would serve no more)" in told) == waits


@pytest.mark.parametrize("output", ["{ mean = 196, std = 181 }", "{ mean = 1, std = 0 }"])
def test_requests_in_flight_are_one_number(output: str) -> None:
    text = MIX.replace("{count}", "60").replace("{rank}", "16").replace("{ mean = 196, std = 181 }", output)
    answer = answered(parse(text))
    assert answer.binding is not None and answer.expected is not None
    told = " ".join(write(answer, Format.TEXT).split())
    (requests,) = re.findall(r"in flight ([\d.,]+) requests of", told)
    assert set(re.findall(r"about ([\d.,]+) requests are in flight", told)) <= {requests}
    e2e_s = (answer.expected.ttft_ms + (195 if "196" in output else 0) * answer.expected.itl_ms) / 1e3
    assert answer.binding.in_flight.requests == pytest.approx(6.0 * e2e_s)


def test_log_normal_gaps_leave_more_adapters_in_flight_than_gamma_gaps_do() -> None:
    gamma, lognormal = (
        answered(
            parse(
                MIX.replace("{count}", "100")
                .replace("{rank}", "16")
                .replace("rate = 0.1", f'rate = 0.03\ncv = 3\ngaps = "{gaps}"')
            )
        )
        for gaps in ("gamma", "lognormal")
    )
    assert gamma.binding is not None and lognormal.binding is not None
    assert lognormal.binding.in_flight.adapters > 1.3 * gamma.binding.in_flight.adapters


def test_load_has_one_meaning() -> None:
    """It is the share of the limit; what the rules compare with estimates is called traffic."""
    told = write(answered(inventory()), Format.TEXT)
    assert "load " in told.partition("What would help")[0]
    assert "the load is" not in told and "traffic is 0." in " ".join(told.split())
