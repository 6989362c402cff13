"""Requests that were made, to be replayed: when, to which adapter, and how long they were."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from advisor.errors import InputError
from advisor.inventory import records
from advisor.inventory.records import Column
from advisor.inventory.schema import MAX_SECONDS
from twin.workload import BASE, Requests

MAX_RECORDS = 20_000_000


def load(path: Path, names: Sequence[str], base_names: Sequence[str] = ()) -> Requests:
    """Read a CSV or JSONL file with time, adapter, input and output; `names` are the adapters there are.

    A request with no adapter, or with one of `base_names` in its place, is for the base model.

    Times are seconds or ISO 8601 (UTC where they name no zone), in any order; they are counted from the first.

    Raises:
        InputError: as `records.read`, the file holds no request, or they span more than a year.
    """
    adapters: dict[str | None, int] = dict.fromkeys((None, "", *base_names), BASE)
    adapters |= {name: position for position, name in enumerate(names)}
    columns = (
        Column("time", _seconds, "seconds or ISO 8601, such as 12.5 or 2025-01-31T12:00:00.5Z"),
        Column("adapter", adapters.__getitem__, "the name of an adapter in the inventory, or empty"),
        records.tokens("input"),
        records.tokens("output"),
    )
    times, adapter, prompt, answer = array("d"), array("i"), array("i"), array("i")
    for when, which, tokens_in, tokens_out in records.read(path, columns, MAX_RECORDS):
        times.append(when)
        adapter.append(which)
        prompt.append(tokens_in)
        answer.append(tokens_out)
    if not times:
        raise InputError(f"{path}: no requests here; at least one record is needed")
    arrival = np.array(times)
    order = np.argsort(arrival, kind="stable")
    arrival = arrival[order] - arrival[order[0]]
    if arrival[-1] > MAX_SECONDS:
        raise InputError(
            f"{path}: the requests span {arrival[-1]:,.0f} s; at most a year can be replayed: is time in s?"
        )
    return Requests(arrival, *(np.array(values, dtype=np.int32)[order] for values in (adapter, prompt, answer)))


def span_s(requests: Requests) -> float:
    """Seconds that the requests stand for: from the first to one mean gap after the last.

    Raises:
        InputError: they all come at once.
    """
    count = len(requests)
    if requests.arrival[-1] == 0.0:
        raise InputError("the requests all come at once, so it is not known how long to simulate; a duration is needed")
    return float(requests.arrival[-1]) * count / (count - 1)


def _seconds(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError("not a time")
    try:
        seconds = float(value)
    except ValueError:
        moment = datetime.fromisoformat(value.strip())
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds):
        raise ValueError("not a time")
    return seconds
