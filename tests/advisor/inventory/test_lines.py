"""Where keys stand in a TOML file."""

from __future__ import annotations

import pytest

from advisor.inventory.lines import Location, line_of

TEXT = """\
model = "x"
[lengths]  # a comment
input = { mean = 1, std = 2 }

[[adapters]]
name = "a"
[adapters.input]
mean = 3
[[adapters]]
"name" = "b"
input.mean = 4
"""


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("model",), 1),
        (("lengths",), 2),
        (("lengths", "input", "std"), 3),
        (("adapters",), None),
        (("adapters", 0, "name"), 6),
        (("adapters", 0, "input", "mean"), 8),
        (("adapters", 1, "name"), 10),
        (("adapters", 1, "input", "mean"), 11),
        (("adapters", 1, "rank"), 9),
        (("adapters", 2, "rank"), None),
        (("gpu",), None),
    ],
)
def test_the_line_of_a_key_or_of_what_encloses_it(location: Location, line: int | None) -> None:
    assert line_of(TEXT, location) == line
