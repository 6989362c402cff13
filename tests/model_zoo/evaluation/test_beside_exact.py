"""What the models give away of mixes held out, beside the exact search."""

from __future__ import annotations

import subprocess
import sys

import pytest

from model_zoo.evaluation.beside_exact import COLUMNS, Served, table_of

SURE, TIMID = Served("papers", 100.0, 0.0, 100.0, 0.0), Served("bursty", 75.0, 0.0, 100.0, 0.0)


@pytest.mark.parametrize(
    ("served", "given_away"),
    [
        (SURE, 0.0),
        (TIMID, 0.25),
        (Served("papers", 0.0, 0.0, 100.0, 0.0), 1.0),
        (Served("papers", 125.0, 0.0, 100.0, 0.0), 0.0),  # the search found less than holds
        (Served("papers", 125.0, 0.5, 100.0, 0.0), -0.25),  # more than holds is not what there was to give
    ],
)
def test_what_is_given_away_is_of_the_most_that_holds(served: Served, given_away: float) -> None:
    assert served.given_away == pytest.approx(given_away)


def test_refusals_count_as_given_away_but_not_as_hours() -> None:
    refused, bold = Served("papers", 0.0, 0.0, 100.0, 0.0), Served("papers", 100.0, 0.5, 100.0, 0.0)
    heading, _, everyone, _, papers = table_of([SURE, TIMID, refused, bold]).splitlines()
    assert [name in heading for name in COLUMNS] == [True] * len(COLUMNS)
    assert everyone.split() == ["all", "4", "31.2", "12.5", "16.7", "33.3", "0.0"]
    assert papers.split()[:2] == ["papers", "3"]


def test_the_command_answers_mixes_held_out_by_both_and_serves_both() -> None:
    """The only one of the first five: 20 adapters by the models, 23 by the search, on a GPU that was drawn for it."""
    command = [sys.executable, "-m", "model_zoo", "exact", "--mixes", "5", "--seed", "1", "--jobs", "1"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    everyone = next(line for line in printed.splitlines() if line.startswith("all")).split()
    assert everyone[1] == "1"
    assert 0 <= float(everyone[2]) < 25
    assert "16 hours that no one asked" in printed
