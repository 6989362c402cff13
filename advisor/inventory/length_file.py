"""Files of request lengths that occurred."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advisor.errors import InputError
from advisor.inventory import records
from twin.lengths import Table

MAX_RECORDS = 1_000_000
_COLUMNS = (records.tokens("input"), records.tokens("output"))


def load(path: Path) -> Table:
    """Read the columns input and output (tokens) of a CSV or JSONL file.

    Raises:
        InputError: as `records.read`, or the file holds no record.
    """
    found = np.array(list(records.read(path, _COLUMNS, MAX_RECORDS)), dtype=np.int32)
    if not len(found):
        raise InputError(f"{path}: no lengths here; at least one record with input and output is needed")
    return Table(found[:, 0].copy(), found[:, 1].copy())
