"""What the twin finds next to an answer."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from advisor.inventory.inventory import Inventory, parse
from advisor.neighbours import compared
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
from advisor.recommend.uncertainty import admitting
from advisor.report import Format, write
from advisor.report.schemas.answer import answer_schema
from advisor.simulation import verified
from advisor.zoo.pairs import find_pair

OF_TWO_RANKS = """
model = "meta-llama/Llama-3.1-8B-Instruct"
gpu = "h100-64gb"
[lengths]
input = { mean = 223, std = 191 }
output = { mean = 196, std = 181 }
[[adapters]]
name = "small"
count = 60
rank = 8
rate = 0.05
[[adapters]]
name = "big"
rank = 256
rate = 0.1
"""


def neighbours(inventory: Inventory) -> list[dict[str, Any]]:
    objective, pair = Objective(), find_pair(inventory.model, inventory.gpu)
    answer = recommend(inventory, pair, objective)
    found = compared(verified(answer, inventory, pair.profile, objective), inventory, pair.profile, objective).verified
    assert found is not None
    return list(found["neighbours"])


@pytest.mark.parametrize(
    ("limit", "count", "sizes"), [("host_memory_gib = 6\n", 200, [68]), ("host_memory_gib = 8\n", 90, [81, 99])]
)
def test_no_more_adapters_are_better_than_host_memory_holds(limit: str, count: int, sizes: list[int]) -> None:
    text = OF_TWO_RANKS.partition("[[adapters]]")[0] + '[[adapters]]\nname = "t"\nrank = 16\nrate = 0.02\ncount = '
    found = neighbours(parse(f"{limit}{text}{count}"))
    assert [each["change"] for each in found if "adapters" in each["change"]] == [f"{size} adapters" for size in sizes]


def test_room_for_more_is_nothing_better_where_whoever_is_left_out_needs_larger_slots() -> None:
    inventory, objective = parse(OF_TWO_RANKS), Objective()
    assert recommend(inventory, find_pair(inventory.model, inventory.gpu), objective).admission.rejected == ("big",)
    found = neighbours(inventory)
    (more,) = (each for each in found if each["change"] == "66 adapters")
    assert not more["missed"] and not more["better"]


def test_of_a_derived_pair_the_careful_end_is_served_and_compared() -> None:
    """More adapters were called better that the middle bears and the careful end does not, which admits."""
    text = OF_TWO_RANKS.partition("[[adapters]]")[0].replace("h100-64gb", "l4")
    inventory, objective = parse(f'{text}[[adapters]]\nname = "t"\nrank = 16\nrate = 0.02\ncount = 200'), Objective()
    pair = find_pair(inventory.model, inventory.gpu)
    answer = recommend(inventory, pair, objective)
    middle = verified(answer, inventory, pair.profile, objective)
    found = compared(middle, inventory, admitting(pair, inventory).profile, objective)
    assert middle.verified is not None and found.verified is not None
    careful = found.verified["careful_end"]
    assert careful["itl_ms"] > 1.05 * middle.verified["itl_ms"]
    assert found.disproved == bool(careful["missed"])
    more = next(
        each for each in found.verified["neighbours"] if each["change"].endswith("adapters") and each["ttft_ms"]
    )
    assert more["itl_ms"] > middle.verified["itl_ms"]
    jsonschema.validate(json.loads(write(found, Format.JSON)), answer_schema())
    text = write(found, Format.TEXT)
    assert "careful end  " in text and "Digital twin of the middle" in text
