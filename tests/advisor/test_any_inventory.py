"""Whatever inventory is accepted is answered: by the models and by the twin, in numbers, without a warning."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.inventory.inventory import Inventory, parse
from advisor.recommend.answer.recommendation import Recommendation
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.simulation import prepare
from advisor.zoo.pair import Pair
from tests.advisor import inventories

RATES = st.sampled_from([0.0, 1e-9, 1e-6, 1e-3, 0.05, 1.0, 1000.0])
LENGTHS = st.sampled_from(
    [
        {"mean": 1, "std": 0},
        {"mean": 1, "std": 10_000_000},
        {"mean": 10_000_000, "std": 0},
        {"mean": 10_000_000, "std": 10_000_000},
        {"p1": 1, "p99": 10_000_000},
        {"p50": 200, "p51": 200},
        {"p49": 1, "p50": 10_000_000},
    ]
)
SCALES = st.sampled_from([0, 1e-6, 1, 1000])


@st.composite
def extremes(draw: st.DrawFn) -> dict[str, Any]:
    """Valid inventories of the small zoo's model, with values at the ends of what is allowed."""
    document = draw(inventories.documents())
    document |= {"model": "tiny-1b", "gpu": "test-gpu"}
    document.pop("model_config", None)  # a file that is not there
    for row in document["adapters"]:
        row["rate"] = draw(RATES)
        row.update(draw(st.fixed_dictionaries({}, optional={"input": LENGTHS, "output": LENGTHS})))
    for phase in document["phases"]:
        phase["scale"] = draw(SCALES)
    if document["phases"] and not any(phase["scale"] for phase in document["phases"]):
        document["phases"][0]["scale"] = draw(SCALES.filter(bool))
    if not any(row["rate"] for row in document["adapters"]):
        document["adapters"][0]["rate"] = draw(RATES.filter(bool))
    return document


@pytest.mark.filterwarnings("error")
@settings(max_examples=40, deadline=None)
@given(document=extremes())
def test_recommend(pair: Pair, document: dict[str, Any]) -> None:
    inventory = parse(inventories.toml(document))
    check(recommend(inventory, pair, Objective()), inventory)


def check(answer: Recommendation, inventory: Inventory) -> None:
    """Every number of the answer is one, and every adapter is admitted or rejected."""
    assert sorted((*answer.admission.admitted, *answer.admission.rejected)) == sorted(inventory.names)
    assert answer.feasible == (answer.admission.adapters > 0)
    figures = [each for each in answer.figures().values() if not isinstance(each, str)]
    numbers = [*figures, *answer.flags.values(), *(step.result for step in answer.trace)]
    assert all(map(math.isfinite, numbers))
    assert not any("nan" in condition.split() for step in answer.trace for condition in step.rule)


@pytest.mark.filterwarnings("error")
@settings(max_examples=40, deadline=None)
@given(document=extremes())
def test_simulate(zoo: Path, tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]) -> None:
    path = inventories.write(tmp_path_factory.mktemp("any"), inventories.toml(document))
    load = parse(path.read_text(encoding="utf-8")).workload
    rate = load.rate.sum() * max((phase.scale for phase in load.phases), default=1.0)
    try:
        measures = prepare(path, zoo, max_loras=2).measure(
            duration_s=min(60.0, 20_000 / rate), seed=0, objective=Objective()
        )
    except InputError as error:
        assert "vLLM refuses" in str(error) or "no pair for" in str(error)  # how it is run, too
        return
    assert all(math.isfinite(value) for value in measures.values() if isinstance(value, int | float))


def test_adapters_that_are_never_asked_cost_host_memory_alone(pair: Pair) -> None:
    text = inventories.PLAIN + '[[adapters]]\nname = "idle"\ncount = 500\nrank = 8\nrate = 0\n'
    alone, beside = (recommend(parse(each), pair, Objective()) for each in (inventories.PLAIN, text))
    assert beside.admission.rejected == ()
    assert beside.admission.adapters == alone.admission.adapters + 500
    assert beside.flags == {**alone.flags, "max_cpu_loras": 561}
    assert beside.figures() == alone.figures()
    assert beside.warnings == alone.warnings
