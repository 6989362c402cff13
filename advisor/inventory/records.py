"""Records of a CSV or JSONL file, column by column, each value checked on its way in."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from advisor.errors import InputError
from advisor.inventory.document import shown
from advisor.inventory.schema import MAX_TOKENS

MAX_BYTES = 4 * 1024**3
MAX_LINE = 1_000_000
"""Characters; a record has some dozens, and what has no lines is no file of records."""


class Column(NamedTuple):
    """A column that is wanted."""

    name: str
    parse: Callable[[Any], Any]
    """From what the file has to the value; raises ValueError, TypeError, KeyError or OverflowError to refuse it."""
    right: str
    """What completes "it must be ..."."""


def read(path: Path, columns: Sequence[Column], most: int) -> Iterator[tuple[Any, ...]]:
    """The values of these columns, record by record; others that the file may have are passed over.

    A CSV file (.csv) has a header, a JSONL file (.jsonl) an object per line.

    Raises:
        InputError: no such file, neither CSV nor JSONL, more than `most` records, or a value that is refused; the
            message names file, line, column and remedy.
    """
    rows = {".csv": _csv, ".jsonl": _jsonl}.get(path.suffix.lower())
    if rows is None:
        raise InputError(f"{path}: not known how to read it; the name must end in .csv or .jsonl")
    names = [column.name for column in columns]
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: not a file of records; a regular .csv or .jsonl file is needed")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES:,} bytes; keep a sample of it")
        with path.open(encoding="utf-8-sig", newline="") as file:
            # Twice as many lines as records: some are empty, and quoted text may have several.
            lines = _lines(file, path, 2 * most + 1)
            for count, (line, values) in enumerate(rows(lines, names, path), start=1):
                if count > most:
                    raise InputError(f"{path}: more than {most:,} records; keep a sample of them")
                try:
                    yield tuple(column.parse(value) for column, value in zip(columns, values, strict=True))
                except (ValueError, TypeError, KeyError, OverflowError):
                    raise InputError(f"{path}:{line}: {_refused(columns, values)}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read the file: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text; it must be CSV or JSONL") from error


def whole_tokens(value: Any) -> int:
    """Tokens, 1 to `MAX_TOKENS`.

    Raises:
        ValueError, TypeError, OverflowError: they are not.
    """
    number = float(value)
    if isinstance(value, bool) or not number.is_integer() or not 1 <= number <= MAX_TOKENS:
        raise ValueError("not a number of tokens")
    return int(number)


def tokens(name: str) -> Column:
    """A column of tokens."""
    return Column(name, whole_tokens, f"a whole number of tokens, 1 to {MAX_TOKENS:,}")


def _lines(file: TextIO, path: Path, most: int) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), ""), start=1):
        if len(line) == MAX_LINE:
            raise InputError(f"{path}:{number}: a line of {MAX_LINE:,} characters and more; each record needs its own")
        if number > most:
            raise InputError(f"{path}: more than {most:,} lines; keep a sample of them")
        yield line


def _csv(lines: Iterator[str], names: Sequence[str], path: Path) -> Iterator[tuple[int, list[Any]]]:
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if missing := [name for name in names if name not in header]:
            raise InputError(f"{path}:1: no column {missing[0]!r}; the first line must name {', '.join(names)}")
        places = [header.index(name) for name in names]
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise InputError(f"{path}:{reader.line_num}: {len(row)} values, but the header has {len(header)} names")
            yield reader.line_num, [row[place] for place in places]
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not valid CSV: {error}") from error


def _jsonl(lines: Iterator[str], names: Sequence[str], path: Path) -> Iterator[tuple[int, list[Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: not valid JSON: {error}") from error
        if not isinstance(record, dict):
            raise InputError(f"{path}:{number}: not an object; each line must be one with {', '.join(names)}")
        if missing := [name for name in names if name not in record]:
            raise InputError(f"{path}:{number}: no {missing[0]!r}; each line must be an object with {', '.join(names)}")
        yield number, [record[name] for name in names]


def _refused(columns: Sequence[Column], values: Sequence[Any]) -> str:
    for column, value in zip(columns, values, strict=True):
        try:
            column.parse(value)
        except (ValueError, TypeError, KeyError, OverflowError):
            return f"{column.name} is {shown(value)}, but must be {column.right}"
    raise AssertionError("every value is fine")
