"""CSV tables of measurements, with the columns and the kind of values that are wanted."""

from __future__ import annotations

import stat
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from calibrate.errors import CalibrationError

LARGEST = 1e15
"""No figure that anyone measures is larger: 30,000 years in ms, a million GiB in bytes."""


def read_csv(path: Path, columns: Sequence[str], *, text: Collection[str] = ()) -> pd.DataFrame:
    """The table in a file; all of its numbers are finite and, where nothing else can be meant, not negative.

    Args:
        path: the file.
        columns: what it must have; further ones may be there.
        text: columns that are read as text; those of `columns` that are not among them hold numbers or are empty.

    Raises:
        CalibrationError: it cannot be read, is no such table, or one of its numbers is none.
    """
    try:
        if stat.S_ISCHR(path.stat().st_mode):  # it may never end
            raise CalibrationError(f"{path}: a device, not a CSV table")
        table = pd.read_csv(path, dtype=dict.fromkeys(text, str), low_memory=False)
    except OSError as error:
        raise CalibrationError(f"{path}: cannot read the table: {error.strerror}") from error
    except CalibrationError:
        raise
    except (ValueError, OverflowError) as error:  # what pandas raises for anything that is no CSV, an empty file too
        raise CalibrationError(f"{path}: not a CSV table: {' '.join(str(error).split())}") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise CalibrationError(f"{path}: column missing: {', '.join(missing)}")
    for name in columns:
        if name not in text and not pd.api.types.is_numeric_dtype(table[name]):
            raise CalibrationError(f"{path}: column {name}: numbers wanted")
    for column in table.select_dtypes("number"):
        values = table[column].to_numpy(np.float64)
        wrong = (np.abs(values) > LARGEST) | ((values < 0) & ("correlation" not in str(column)))
        if wrong.any():
            line = int(np.argmax(wrong))
            raise CalibrationError(
                f"{path}:{line + 2}: column {column}: a number from 0 to {LARGEST:g} wanted, not {values[line]:g}"
            )
    return table
