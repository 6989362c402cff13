"""Answers that the digital twin searched: what they claim was simulated, and is so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import Phase as HypothesisPhase
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.exact import exact, hours
from advisor.exact.exact import exactly
from advisor.inventory.inventory import Inventory
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.objective import Objective, ObjectiveName
from advisor.recommend.recommend import recommend
from advisor.report.schemas.answer import answer_schema
from advisor.simulation import Simulation
from advisor.zoo.pair import Pair
from advisor.zoo.pairs import find_pair
from tests.advisor import inventories
from twin.arrivals import Phase
from twin.service_level import Limit
from twin.workload import Workload

FEW = 6
"""Hours that an answer has to hold in, here."""
OBJECTIVES = (
    Objective(),
    Objective(ObjectiveName.LATENCY, Limit(1.0, "p95"), Limit(0.05)),
    Objective(ObjectiveName.PUBLISHED),
)


@pytest.fixture(autouse=True)
def short_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few, and of ten minutes."""
    monkeypatch.setattr(exact, "HELD_IN", range(FEW))
    for module in (exact, hours):
        monkeypatch.setattr(module, "DURATION_S", 600.0)


def told(_: str) -> None:
    """Nobody listens."""


def alike(count: int, each: float, **of: Any) -> Inventory:
    ones = np.ones(count)
    mix = Workload(8 * ones, each * ones, 400 * ones, 360 * ones, 440 * ones, 400 * ones, ones)
    return inventories.of(replace(mix, **of))


def runs_of(answer: Recommendation) -> list[Any]:
    """Those of the configuration that is recommended."""
    assert answer.exact is not None
    mine = (answer.exact.order, answer.admission.adapters, answer.flags["max_loras"])
    return [run for run in answer.exact.runs if (run["order"], run["adapters"], run["max_loras"]) == mine]


@settings(max_examples=4, deadline=None, phases=[HypothesisPhase.explicit, HypothesisPhase.generate])  # as it is slow
@given(st.integers(0, 2**32), st.sampled_from(OBJECTIVES))
def test_what_is_recommended_met_the_objective_in_every_run(pair: Pair, seed: int, objective: Objective) -> None:
    inventory = inventories.random(seed)
    answer = exactly(inventory, pair, objective, told)
    assert answer.exact is not None
    if not answer.feasible:
        assert answer.reason
        return
    assert answer.settings is not None
    assert answer.expected is not None
    mine = [run for run in runs_of(answer) if run["seed"] in answer.exact.seeds]
    assert {run["seed"] for run in mine} == set(range(FEW)) == set(answer.exact.seeds)
    assert not any(run["missed"] for run in mine)
    assert answer.expected.throughput_tok_s == pytest.approx(np.mean([run["throughput_tok_s"] for run in mine]))
    memory, server = pair.profile.memory, answer.settings
    kv_cache = memory.kv_capacity_tokens(server.max_loras, server.max_lora_rank, server.gpu_memory_utilization)
    assert answer.expected.kv_capacity_tokens == kv_cache >= server.max_model_len
    assert server.max_loras <= answer.admission.adapters <= server.max_cpu_loras


def test_a_larger_part_was_tried_and_missed(pair: Pair) -> None:
    answer = exactly(alike(60, 0.5), pair, Objective(), told)
    admitted = answer.admission.adapters
    assert answer.exact is not None
    assert 1 < admitted < 60
    larger = [run for run in answer.exact.runs if admitted < run["adapters"] <= 1.01 * admitted + 1]
    assert any(run["missed"] for run in larger)


@pytest.mark.parametrize(
    "traits",
    [
        {"phases": (Phase(200, 0.5), Phase(100, 2.0))},
        {"lognormal_gaps": np.ones(40, dtype=np.bool_), "cv": 3 * np.ones(40)},
        {"shared_prefix": np.full(40, 60, dtype=np.int32)},
        {"base": alike(1, 0.5).workload},
        {"rate": np.where(np.arange(40) % 4 == 0, 0.2, 0.0)},
    ],
    ids=["phases", "gaps", "prefix", "base", "idle"],
)
def test_runs_are_those_that_the_twin_measures(pair: Pair, traits: dict[str, Any]) -> None:
    """Of the first adapters of an order of admission, whatever their traffic is like, under settings of so many."""
    inventory = alike(40, 0.15, **traits)
    answer = exactly(inventory, pair, Objective(), told)
    assert answer.exact is not None
    idle = [name for name, rate in zip(inventory.names, inventory.workload.rate, strict=True) if rate == 0]
    for run in answer.exact.runs[:: len(answer.exact.runs) // 5]:
        server = inventory.only((*answer.exact.orders[run["order"]][: run["adapters"]], *idle))
        at_once = pair.profile.settings(
            max_loras=run["max_loras"], max_cpu_loras=len(server), max_lora_rank=8, others={}
        )
        simulation = Simulation("", pair.basis, server, pair.profile, at_once)
        measures = simulation.measure(seed=run["seed"], duration_s=answer.exact.duration_s, objective=Objective())
        found = {name: measures[name] for name in ("throughput_tok_s", "ttft_ms", "itl_ms", "missed")}
        assert found == {name: run[name] for name in found}


def test_phases_are_simulated_to_the_last(pair: Pair) -> None:
    answer = exactly(alike(5, 0.1, phases=(Phase(1000, 0.5), Phase(1400, 2.0))), pair, Objective(), told)
    assert answer.exact is not None
    assert answer.exact.duration_s == 2400
    assert len(answer.exact.seeds) == 3


def test_fixed_settings_stay(pair: Pair) -> None:
    fixed = {"max_loras": 7, "max_cpu_loras": 40, "gpu_memory_utilization": 0.8}
    answer = exactly(replace(alike(60, 0.02), server=fixed, fixed=fixed), pair, Objective(), told)
    assert fixed.items() <= answer.flags.items()
    assert answer.admission.adapters <= 40


def test_limits_of_percentiles_hold_in_every_hour(pair: Pair) -> None:
    inventory = alike(50, 0.6)
    strict = exactly(inventory, pair, Objective(ObjectiveName.LATENCY, Limit(0.2, "p99")), told)
    assert 1 <= strict.admission.adapters < exactly(inventory, pair, Objective(), told).admission.adapters
    assert strict.expected is not None
    assert strict.expected.percentiles["ttft_p99_ms"] <= 200


def test_nobody_is_admitted_where_not_even_one_holds(pair: Pair) -> None:
    answer = exactly(alike(3, 50.0), pair, Objective(), told)
    assert not answer.feasible
    assert "with 1 and 1 slots, seed 0: " in (answer.reason or "")


def test_the_same_twice(pair: Pair) -> None:
    inventory = inventories.random(3)
    once, again = (exactly(inventory, pair, Objective(), told).document() for _ in range(2))
    assert json.dumps(once) == json.dumps(again)


def test_the_models_warnings_are_not_for_what_was_simulated(pair: Pair) -> None:
    inventory = alike(20, 0.05, lognormal_gaps=np.ones(20, dtype=np.bool_))
    assert any("models were not trained" in each for each in recommend(inventory, pair, Objective()).warnings)
    assert not exactly(inventory, pair, Objective(), told).warnings


class Interrupting:
    """Interrupts when it has been told often enough."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self, _: str) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def interrupted(inventory: Inventory, pair: Pair, after: int) -> Recommendation | None:
    told: Callable[[str], None] = Interrupting(after)
    try:
        return exactly(inventory, pair, Objective(), told)
    except KeyboardInterrupt:
        return None


@pytest.mark.parametrize("after", [1, 2, 5, 20, 40])
def test_interrupted_it_says_what_it_has(pair: Pair, after: int) -> None:
    inventory = alike(60, 0.5)
    answer = interrupted(inventory, pair, after)
    if answer is not None and answer.exact is not None and answer.exact.interrupted:
        assert answer.document()["exact"]["interrupted"] is True
        assert not any(run["missed"] for run in runs_of(answer))
        assert len(answer.exact.seeds) == len(runs_of(answer)) >= 3
    else:
        assert after in (1, 2) or answer is not None


def test_the_command_line(zoo: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from advisor.cli.app import app

    path = inventories.write(tmp_path)
    done = CliRunner().invoke(app, ["recommend", str(path), "--exact", "--zoo", str(zoo), "--format", "json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["exact"]["seeds"] == list(range(FEW))
    assert document["expected"]["simulated_hours"] == FEW
    jsonschema.Draft202012Validator(answer_schema()).validate(document)
    assert document["exact"].keys() <= answer_schema()["properties"]["exact"]["properties"].keys()
    text = CliRunner().invoke(app, ["recommend", str(path), "--exact", "--zoo", str(zoo)]).stdout
    assert f"simulated, not predicted: means of {FEW} hours" in text


def test_of_an_adapter_that_is_left_out_for_its_rank_it_is_said_what_it_would_cost(pair: Pair) -> None:
    inventory = alike(61, 0.08, rank=np.array([8.0] * 60 + [512.0]))
    answer = exactly(inventory, pair, Objective(), told)
    assert answer.admission.rejected == ("adapter-60",)
    (warning,) = [each for each in answer.warnings if "left out" in each]
    assert re.search(
        r"with it( \(by the models, not simulated\))? one GPU serves (none|\d+ \([\d,]+ tokens/s\))", warning
    )


def test_of_a_derived_pair_the_careful_end_admits_and_the_middle_is_expected() -> None:
    """What was expected was the careful end, with no range; and it was said to be placed, where nothing was."""
    inventory = replace(alike(60, 0.05), model="Qwen/Qwen2.5-14B-Instruct", gpu="l40s")
    pair = find_pair(inventory.model, inventory.gpu)
    answer = exactly(inventory, pair, Objective(), told)
    assert answer.uncertainty is not None and answer.expected is not None and answer.exact is not None
    assert 0 < answer.admission.adapters <= answer.uncertainty.up_to
    careful = np.mean([run["itl_ms"] for run in runs_of(answer)])
    low, high = answer.uncertainty.ranges["itl_ms"]
    assert low < answer.expected.itl_ms < careful and answer.expected.itl_ms < high
    assert answer.expected.hours and answer.uncertainty.expected_of == "the middle"
    assert not any("placed" in each for each in answer.warnings)
