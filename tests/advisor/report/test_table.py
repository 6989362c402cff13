"""Tables fit where they go, and their numbers stay whole."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from advisor.report.table import table

NAMES = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=60)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "inventory": NAMES,
            "max_loras": st.integers(1, 10**6),
            "throughput_tok_s": st.none() | st.floats(0, 1e9),
            "steady": st.booleans(),
        }
    ),
    min_size=1,
    max_size=4,
)
COLUMNS = ("inventory", "max_loras", "throughput_tok_s", "steady")


@given(ROWS, st.none() | st.integers(1, 150))
def test_neither_numbers_nor_the_names_of_rows_are_broken_and_no_table_is_wider_than_asked(
    rows: list[dict[str, object]], width: int | None
) -> None:
    text = table(rows, COLUMNS, width)
    for row in rows:
        assert str(row["inventory"]) in text
        assert re.search(rf"\b{row['max_loras']:,}\b", text)
        assert row["throughput_tok_s"] is None or f"{row['throughput_tok_s']:,.1f}" in text
    if text.startswith("inventory  "):
        lines = text.splitlines()
        if lines[1].strip("─"):  # a block of lines for every row
            assert width is not None
            assert len(lines) == (len(COLUMNS) + 1) * len(rows) - 1
        else:
            names = {row["inventory"] for row in rows}  # whole, on lines of their own where they are long
            assert width is None or max(cell_len(line) for line in lines if line not in names) <= width


def test_whole_where_nothing_limits_it() -> None:
    row = {"inventory": "x" * 300, "max_loras": 7, "throughput_tok_s": None, "steady": True}
    head, rule, line = table([row], COLUMNS).splitlines()
    assert head.split() == list(COLUMNS)
    assert set(rule) == {"─"}
    assert line.split() == ["x" * 300, "7", "-", "yes"]
