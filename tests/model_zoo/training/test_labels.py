"""Labels from hand-made runs: what counts as met, where the limit lies, which slots are best."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from model_zoo.campaign.grid import sample
from model_zoo.campaign.profiles import Profiles
from model_zoo.campaign.runs import OBJECTIVE_NAMES, PUBLISHED, STEADY, Objective, SimulatedRun
from model_zoo.campaign.search import Exploration, Findings
from model_zoo.evaluation.report import DEFAULTS
from model_zoo.training.dataset import tabulate
from model_zoo.training.labels import best_run, fully_tried, load_limit, slot_choices
from twin.engine.simulation import Measures
from twin.profile import Profile


def run(
    adapters: int,
    max_loras: int,
    *,
    ttft_ms: float = 100.0,
    served: float = 1.0,
    itl_ms: float = 30.0,
    throughput: float | None = None,
    oom: bool = False,
) -> SimulatedRun:
    """A run of adapters that each offer 100 tokens/s."""
    offered = 100.0 * adapters
    measures = Measures(
        oom=oom,
        kv_capacity_tokens=200_000,
        offered_tok_s=offered,
        throughput_tok_s=served * offered if throughput is None else throughput,
        itl_ms=itl_ms,
        ttft_ms=ttft_ms,
        arrivals=0 if oom else 1000,
        completed=0 if oom else round(1000 * served),
        waiting_end=0 if oom else 1000 - round(1000 * served),
    )
    return SimulatedRun(adapters, max_loras, measures)


def test_steady_needs_both_the_tokens_and_the_limit() -> None:
    slow = run(8, 8, ttft_ms=2500)
    assert not STEADY.met_by(slow)
    assert Objective("steady", 5.0).met_by(slow)
    assert PUBLISHED.met_by(slow)
    for objective in (STEADY, PUBLISHED):
        assert not objective.met_by(run(8, 8, served=0.85))
        assert not objective.met_by(run(8, 8, oom=True))


def test_an_hour_without_requests_is_steady() -> None:
    nan = float("nan")
    idle = SimulatedRun(1, 1, Measures(oom=False, kv_capacity_tokens=200_000, offered_tok_s=0.01, ttft_ms=nan))
    assert STEADY.met_by(idle)


def test_the_last_requests_of_a_quiet_hour_do_not_starve() -> None:
    six = Measures(oom=False, kv_capacity_tokens=200_000, offered_tok_s=4.0, ttft_ms=70.0, arrivals=6, completed=4)
    assert STEADY.met_by(SimulatedRun(3, 3, six))
    assert not STEADY.met_by(SimulatedRun(3, 3, replace(six, waiting_end=2)))


def test_the_limit_lies_between_the_last_that_met_the_objective_and_the_first_that_did_not() -> None:
    runs = [run(8, 8), run(10, 8, ttft_ms=9000), run(10, 4), run(12, 8, ttft_ms=9000), run(12, 4, served=0.5)]
    limit = load_limit(runs, STEADY)
    assert (limit.adapters, limit.met_tok_s, limit.missed_tok_s) == (10, 1000.0, 1200.0)
    assert limit.token_rate == pytest.approx(1095.4, abs=0.1)
    assert limit.bounded


def test_a_limit_that_was_not_reached_or_never_met_is_not_bounded() -> None:
    never = load_limit([run(8, 8), run(10, 8)], STEADY)
    assert not never.bounded
    assert not never.refused
    nothing = load_limit([run(1, 1, served=0.5), run(2, 1, served=0.2)], STEADY)
    assert (nothing.adapters, nothing.met_tok_s, nothing.missed_tok_s) == (0, 0.0, 100.0)
    assert nothing.refused
    assert not nothing.bounded


def exploration(slots: tuple[int, ...], *runs: SimulatedRun) -> Exploration:
    return Exploration(sample(1, seed=0)[0], slots, runs)


def test_slots_that_tie_in_throughput_are_told_apart_by_latency() -> None:
    explored = exploration(
        (8, 16, 32),
        run(32, 8, itl_ms=20, throughput=3100),  # more than 1 % less
        run(32, 16, itl_ms=31, throughput=3180),
        run(32, 32, itl_ms=35, throughput=3200),
        *(run(34, slots) for slots in (8, 16, 32)),
    )
    choices = slot_choices(explored, STEADY, 1024)
    assert [(choice.adapters, choice.best.max_loras) for choice in choices] == [(32, 16), (34, 8)]


def test_slots_alike_in_latency_are_told_apart_by_how_long_requests_wait() -> None:
    """Two slots for eight adapters and a limit of ten seconds: steps are 3 % shorter, and requests wait two seconds."""
    waiting, roomy = run(8, 2, itl_ms=14.1, ttft_ms=2100), run(8, 8, itl_ms=14.6, ttft_ms=32)
    slower = run(8, 16, itl_ms=15.2, ttft_ms=30)
    assert best_run([waiting, roomy, slower]) is roomy
    one_token = [run(8, slots, itl_ms=math.nan, ttft_ms=ttft) for slots, ttft in ((2, 50), (4, 40), (8, 40))]
    assert best_run(one_token) is one_token[1]


def test_slots_that_would_starve_a_few_more_adapters_are_avoided() -> None:
    fast, slow = run(32, 8, itl_ms=20), run(32, 16, itl_ms=31)
    safe = exploration((8, 16), fast, slow, run(34, 8, ttft_ms=9000), run(34, 16))
    assert slot_choices(safe, STEADY, 1024)[0].best is slow
    at_the_limit = exploration((8, 16), fast, slow, run(34, 8, ttft_ms=9000), run(34, 16, ttft_ms=9000))
    assert slot_choices(at_the_limit, STEADY, 1024)[0].best is fast


def test_a_slot_for_each_adapter_stands_for_all_larger_counts() -> None:
    explored = exploration((8, 48), run(32, 8, ttft_ms=9000), run(32, 32), run(34, 34), run(34, 8, ttft_ms=9000))
    assert [choice.best.max_loras for choice in slot_choices(explored, STEADY, 1024)] == [32, 34]


def test_what_not_even_the_fewest_adapters_met_is_told_and_given_no_optimum(profile: Profile) -> None:
    refused = exploration((4, 8), run(4, 4, served=0.5), run(8, 4, served=0.3), run(8, 8, served=0.3))
    tables = tabulate(Findings((refused,), ()), Profiles((profile,)), 1024)
    for name in OBJECTIVE_NAMES:
        assert not tables.limits[name].labels
        assert not tables.slots[name].labels
        assert load_limit(refused.runs, DEFAULTS[name]).refused
    assert len(tables.serving.labels) == 3


def test_only_counts_with_all_their_slots_are_judged() -> None:
    runs = (run(4, 1), run(4, 4), run(10, 1), run(10, 10), run(20, 1), run(20, 4), run(20, 16))
    assert fully_tried(exploration((1, 4, 16), *runs)) == [4, 20]
