"""The comparison of placements: every way is judged by hours that it was not made with."""

from __future__ import annotations

import pytest

from advisor.inventory.inventory import parse
from advisor.zoo.pairs import find_pair
from model_zoo.placing.bench import EXACT, OURS, VERIFIED, _row
from model_zoo.placing.inventories import Case

FEW = """
model = "meta-llama/Llama-3.1-8B-Instruct"
gpu = "h100-64gb"
[lengths]
input = { mean = 223, std = 191 }
output = { mean = 196, std = 181 }
[[adapters]]
name = "few"
count = 12
rank = 8
rate = 0.2
"""


@pytest.mark.parametrize("way", [OURS, EXACT])
def test_hours_that_placements_are_judged_by_are_others(way: str) -> None:
    inventory = parse(FEW)
    row = _row(Case("few", "alike", inventory, find_pair(inventory.model, inventory.gpu)), way)
    assert (row.gpus, row.unplaced, row.failing) == (1, 0, 0)
    assert len({measured for _, measured in row.throughput}) == len(VERIFIED)
