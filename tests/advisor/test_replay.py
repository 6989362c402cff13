"""Logs of requests: what is in them is replayed, and what is wrong with them is said in one line."""

from __future__ import annotations

import csv
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.recommend.objective import Objective
from advisor.replay import load, span_s
from advisor.simulation import MEASURES, prepare
from tests.advisor import inventories
from twin.engine.simulation import serve
from twin.workload import BASE, Requests, draw

NAMES = ("sql", "naïve, “quoted”", "x\ny")
HEADER = "time,adapter,input,output\n"


def rows(requests: Requests, names: tuple[str, ...]) -> list[dict[str, str | float]]:
    """The requests as a log has them."""
    columns = (requests.arrival.tolist(), requests.adapter.tolist(), requests.input.tolist(), requests.output.tolist())
    return [
        {"time": time, "adapter": names[adapter], "input": prompt, "output": answer, "status": "ok"}
        for time, adapter, prompt, answer in zip(*columns, strict=True)
    ]


def write_csv(path: Path, found: list[dict[str, str | float]]) -> Path:
    path = path.with_suffix(".csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["status", "input", "adapter", "output", "time"])
        writer.writeheader()
        writer.writerows(found)
    return path


def write_jsonl(path: Path, found: list[dict[str, str | float]]) -> Path:
    path = path.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return path


writers = pytest.mark.parametrize("write", [write_csv, write_jsonl])
Write = Callable[[Path, list[dict[str, str | float]]], Path]

tokens = st.integers(1, 10_000_000)
logs = st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 2), tokens, tokens), min_size=1)


@writers
@given(found=logs)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_round_trip(tmp_path: Path, write: Write, found: list[tuple[float, int, int, int]]) -> None:
    time, adapter, prompt, answer = (np.array(column) for column in zip(*found, strict=True))
    path = write(tmp_path / "log", rows(Requests(time, adapter, prompt, answer), NAMES))
    requests = load(path, NAMES)
    order = np.argsort(time, kind="stable")
    assert np.array_equal(requests.arrival, time[order] - time.min())
    assert np.array_equal(requests.adapter, adapter[order])
    assert np.array_equal(requests.input, prompt[order])
    assert np.array_equal(requests.output, answer[order])


@writers
def test_a_replay_measures_what_serving_the_requests_does(zoo: Path, tmp_path: Path, write: Write) -> None:
    path = inventories.write(tmp_path)
    run = prepare(path, zoo, max_loras=16)
    drawn = draw(run.inventory.workload, 600.0, 1)
    drawn = Requests(drawn.arrival - drawn.arrival[0], drawn.adapter, drawn.input, drawn.output)
    log = write(tmp_path / "log", rows(drawn, run.inventory.names)[::-1])
    replay = prepare(path, zoo, max_loras=16, log=log)

    measures = replay.measure(seed=0, objective=Objective())
    served = serve(run.profile, run.server, run.inventory.workload, drawn, duration_s=span_s(drawn))
    for key, value in asdict(served).items():
        if key in MEASURES and key != "wall_s":
            not_measured = isinstance(value, float) and math.isnan(value)
            assert measures[key] == (None if not_measured else pytest.approx(value, abs=0.001)), key
    assert measures["arrivals"] == len(drawn)
    simulated = run.measure(duration_s=600.0, seed=1, objective=Objective())
    for key in ("offered_tok_s", "throughput_tok_s", "itl_ms", "ttft_ms", "running_mean"):
        assert measures[key] == pytest.approx(simulated[key], rel=0.03), key

    half = replay.measure(duration_s=300.0, seed=0, objective=Objective())
    assert half["arrivals"] == (drawn.arrival < 300).sum()


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("log.csv", HEADER + "0,,1,1\n1,sql,1,1\n2,example/Tiny-1B,1,1\n3,Tiny-1B,1,1\n"),
        (
            "log.jsonl",
            "".join(
                json.dumps({"time": i, "adapter": adapter, "input": 1, "output": 1}) + "\n"
                for i, adapter in enumerate((None, "sql", "", "Tiny-1B"))
            ),
        ),
    ],
)
def test_requests_that_name_no_adapter_are_the_base_models(tmp_path: Path, name: str, records: str) -> None:
    path = tmp_path / name
    path.write_text(records)
    base = ("example/Tiny-1B", "Tiny-1B")
    assert load(path, NAMES, base).adapter.tolist() == [BASE, 0, BASE, BASE]
    assert load(path, (*NAMES, "Tiny-1B"), base).adapter.tolist()[3] == 3


def test_a_replay_serves_base_traffic_whether_the_inventory_has_any_or_not(zoo: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(HEADER + "".join(f"{i / 10},{'' if i % 2 else 'tenant'},50,50\n" for i in range(600)))
    without = prepare(inventories.write(tmp_path), zoo, max_loras=16, log=log).measure(seed=0, objective=Objective())
    beside = inventories.PLAIN + "[base]\n"
    with_it = prepare(inventories.write(tmp_path, beside), zoo, max_loras=16, log=log).measure(
        seed=0, objective=Objective()
    )
    assert without["arrivals"] == with_it["arrivals"] == 600
    assert without["adapter_loads"] == with_it["adapter_loads"] == 0  # the only one asked is in a slot from the start
    assert without["throughput_tok_s"] == with_it["throughput_tok_s"]


def test_timestamps(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    times = ("2025-01-31T13:00:01.25+01:00", "2025-01-31 12:00:00", "2025-01-31T12:00:03Z", "1738324804.5")
    path.write_text(HEADER + "".join(f"{time},sql,1,1\n" for time in times))
    requests = load(path, NAMES)
    assert requests.arrival.tolist() == [0.0, 1.25, 3.0, 4.5]
    assert span_s(requests) == 6.0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("log.csv", HEADER, "no requests here; at least one record is needed"),
        ("log.csv", "", ":1: no column 'time'; the first line must name time, adapter, input, output"),
        ("log.csv", "time,adapter,input\n", ":1: no column 'output'"),
        ("log.csv", HEADER + "1,sql,2\n", ":2: 3 values, but the header has 4 names"),
        (
            "log.csv",
            HEADER + "1,sql,2,2\n\n2,sqll,2,2\n",
            ":4: adapter is 'sqll', but must be the name of an adapter in",
        ),
        ("log.csv", HEADER + "noon,sql,2,2\n", ":2: time is 'noon', but must be seconds or ISO 8601, such as"),
        ("log.csv", HEADER + "nan,sql,2,2\n", ":2: time is 'nan', but must be seconds"),
        ("log.csv", HEADER + "1,sql,0,2\n", ":2: input is '0', but must be a whole number of tokens, 1 to 10,000,000"),
        ("log.csv", HEADER + "1,sql,2,2.5\n", ":2: output is '2.5', but must be a whole number of tokens"),
        (
            "log.csv",
            HEADER + "0,sql,2,2\n1e9,sql,2,2\n",
            "the requests span 1,000,000,000 s; at most a year can be rep",
        ),
        ("log.csv", HEADER + '0,"sql\n', "not valid CSV"),
        ("log.csv", HEADER + "0,sq\udcffl,1,1\n", "not UTF-8 text"),
        ("log.txt", HEADER, "not known how to read it; the name must end in .csv or .jsonl"),
        ("log.jsonl", "{", ":1: not valid JSON"),
        ("log.jsonl", "[" * 100_000, ":1: not valid JSON"),
        ("log.jsonl", "3", ":1: not an object; each line must be one with time, adapter, input, output"),
        ("log.jsonl", '{"time": 1}', ":1: no 'adapter'; each line must be an object with time, adapter, input, output"),
        ("log.jsonl", '{"time": 1, "adapter": [], "input": 1, "output": 1}', ":1: adapter is a list of 0, but must be"),
        ("log.jsonl", '{"time": true, "adapter": "sql", "input": 1, "output": 1}', ":1: time is true, but must be sec"),
        ("log.jsonl", '{"time": 1, "adapter": "sql", "input": null, "output": 1}', ":1: input is None, but must be"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_remedy(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError) as error:
        load(path, NAMES)
    assert str(error.value).startswith(f"{path}")
    assert message in str(error.value)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.integers(), st.lists).map(json.dumps))
def test_any_content_is_read_or_refused_in_one_line(tmp_path: Path, content: str) -> None:
    record = f'{{"time": 0, "adapter": "sql", "input": {content}, "output": 1}}'
    for name, text in (("log.csv", HEADER + content), ("log.jsonl", content), ("log.jsonl", record)):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8", errors="replace")
        try:
            load(path, NAMES)
        except InputError as error:
            assert "\n" not in str(error)


def test_no_such_log_and_a_directory(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="not a file of records"):
        load(tmp_path / "folder.csv", NAMES)
    with pytest.raises(InputError, match="cannot read the file: No such file"):
        load(tmp_path / "none.csv", NAMES)


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_what_has_no_lines_or_no_end_is_refused_in_no_time(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    began = time.perf_counter()
    with path.open("wb") as file:
        file.truncate(3 * 1024**3)  # takes no room on the disk
    with pytest.raises(InputError, match=":1: a line of 1,000,000 characters and more"):
        load(path, NAMES)
    for target in ("/dev/zero", "/dev/full"):
        path.unlink()
        path.symlink_to(target)
        with pytest.raises(InputError, match="not a file of records"):
            load(path, NAMES)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="not a file of records"):
        load(path, NAMES)
    assert time.perf_counter() - began < 2


def test_empty_lines_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.replay.MAX_RECORDS", 2)
    path = tmp_path / "log.jsonl"
    path.write_text("\n" * 6)
    with pytest.raises(InputError, match="more than 5 lines; keep a sample of them"):
        load(path, NAMES)


def test_requests_that_all_come_at_once_need_a_duration(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(HEADER + "5,sql,1,1\n" * 3)
    requests = load(path, NAMES)
    assert requests.arrival.tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(InputError, match="a duration is needed"):
        span_s(requests)


def test_more_records_than_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.csv"
    path.write_text(HEADER + "5,sql,1,1\n" * 3)
    monkeypatch.setattr("advisor.replay.MAX_RECORDS", 2)
    with pytest.raises(InputError, match="more than 2 records; keep a sample of them"):
        load(path, NAMES)
