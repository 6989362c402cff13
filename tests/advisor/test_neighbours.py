"""What the twin finds next to an answer."""

from __future__ import annotations

from advisor.inventory.inventory import parse
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


def test_room_for_more_is_nothing_better_where_whoever_is_left_out_needs_larger_slots() -> None:
    inventory, objective = parse(OF_TWO_RANKS), Objective()
    pair = find_pair(inventory.model, inventory.gpu)
    answer = recommend(inventory, pair, objective)
    assert answer.admission.rejected == ("big",)
    found = compared(verified(answer, inventory, pair.profile, objective), inventory, pair.profile, objective).verified
    assert found is not None
    (more,) = (each for each in found["neighbours"] if each["change"] == "66 adapters")
    assert not more["missed"] and not more["better"]
