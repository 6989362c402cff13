"""What the twin finds next to an answer."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.inventory.inventory import Inventory, parse
from advisor.neighbours import compared
from advisor.recommend.objective import Objective
from advisor.recommend.recommend import recommend
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
