"""What an objective misses is told with numbers that show it."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from advisor.recommend.objective import Expectation, Objective
from twin.service_level import Limit


def expectation(chance: float, required: float, ttft_ms: float = 10.0) -> Expectation:
    return Expectation(1000.0, 1.0, 10.0, ttft_ms, 10_000, chance, required)


@given(st.floats(0.3, 0.999), st.floats(1e-9, 0.3))
def test_a_chance_that_is_too_low_reads_lower_than_what_is_required(required: float, short: float) -> None:
    """A chance of "94.0%, below 94%" said nothing."""
    (missed,) = Objective().misses(expectation(required - short, required))
    found, wanted = (float(each) for each in re.findall(r"([0-9.]+)%", missed))
    assert found < wanted
    assert abs(found - 100 * (required - short)) <= 0.15 + 1e-9
    assert abs(wanted - 100 * required) <= 0.05 + 1e-9


@example(16.191, 1.2e-7)  # a thousand times which is not 16191, but a hair less
@given(st.integers(10, 30_000).map(lambda ms: ms / 1e3), st.floats(1e-9, 1.0))
def test_a_time_that_is_too_long_reads_longer_than_the_limit(limit_s: float, beyond: float) -> None:
    objective, value_ms = Objective(ttft_limit=Limit(limit_s)), 1e3 * limit_s * (1 + beyond)
    measures = {"oom": False, "starved": False, "ttft_ms": value_ms}
    for (missed,) in (objective.misses(expectation(0.99, 0.9, value_ms)), objective.missed_by(measures)):
        found, limit = (float(each) for each in re.findall(r"([0-9.]+) ms", missed.replace(",", "")))
        assert found > limit
        assert abs(found - value_ms) <= 1.0 + 1e-9
