"""The comparison of placements: every way is judged by hours that it was not made with."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.zoo.pairs import find_pair
from model_zoo.placing.bench import EXACT, OURS, VERIFIED, _row
from model_zoo.placing.inventories import Case
from tests.advisor.recommend.shipped.questions import inventory, workload


@pytest.mark.parametrize("way", [OURS, EXACT])
def test_hours_that_placements_are_judged_by_are_others(way: str) -> None:
    few = inventory(workload(np.full(12, 0.2), 8))
    row = _row(Case("few", "alike", few, find_pair(few.model, few.gpu)), way)
    assert (row.gpus, row.unplaced, row.failing) == (1, 0, 0)
    assert len({measured for _, measured in row.throughput}) == len(VERIFIED)
