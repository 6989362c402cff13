"""Logs of requests: what they tell of rates, lengths, burstiness, the day and shared prefixes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.discovery.discovery import Adapter, Discovery
from advisor.discovery.logs import request_log, traffic
from advisor.discovery.logs.request import Request
from advisor.discovery.logs.request_log import Log
from advisor.errors import InputError

BASE = "meta-llama/Llama-3.1-8B-Instruct"
DAY = 86_400.0


def told(requests: Sequence[Request], *, busiest_hour: bool = False, clock: bool = True) -> Discovery:
    log = Log(list(requests), 0, "", clock)
    return traffic.discover(log, base_names={BASE}, busiest_hour=busiest_hour)


def one(found: Discovery, name: str) -> Adapter:
    return next(each for each in found.adapters if each.name == name)


def drawn(name: str, rate: float, span_s: float, *, cv: float = 1.0, seed: int = 0) -> list[Request]:
    rng = np.random.default_rng(seed)
    gaps = rng.gamma(1 / cv**2, cv**2 / rate, size=int(rate * span_s * 1.5) + 50)
    tokens = rng.lognormal(5, 0.7, size=(len(gaps), 2)).astype(int) + 1
    times = gaps.cumsum()
    return [Request(t, name, int(i), int(o), None) for t, (i, o) in zip(times, tokens, strict=True) if t < span_s]


def test_rates_and_lengths_are_those_of_the_log() -> None:
    requests = drawn("sql", 2.0, 3000) + drawn("rare", 0.01, 3000, seed=1) + drawn("", 0.5, 3000, seed=2)
    found = told(requests)
    sql, inputs = one(found, "sql").traffic, [each.input for each in requests if each.name == "sql"]
    assert sql.rate == pytest.approx(2.0, rel=0.05)
    assert sql.input and sql.input["p50"] == pytest.approx(np.median(inputs))  # type: ignore[type-var]
    assert sql.cv is None
    assert one(found, "rare").traffic.input is None
    assert any("rare" in note for note in found.notes)
    assert found.base and found.base.rate == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("cv", [0.5, 2.0, 4.0])
def test_burstiness_is_found(cv: float) -> None:
    found = told([*drawn("sql", 0.2, 20_000, cv=cv), *drawn("other", 1.0, 20_000, seed=1)])
    assert one(found, "sql").traffic.cv == pytest.approx(cv, rel=0.2)
    assert one(found, "other").traffic.cv is None


def day(days: float) -> list[Request]:
    """Four times as much in the second half of each day."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.random(int(20_000 * days)) * days * DAY)
    kept = times[(times % DAY >= DAY / 2) | (rng.random(len(times)) < 0.25)]
    return [Request(t, "sql", 100, 100, None) for t in kept]


def test_the_days_course_becomes_phases_and_is_no_burstiness() -> None:
    found = told(day(3))
    assert [(each.duration_s, round(each.scale, 1)) for each in found.phases] == [(DAY / 2, 0.4), (DAY / 2, 1.6)]
    assert one(found, "sql").traffic.cv is None
    assert not told(drawn("sql", 0.2, 2 * DAY)).phases
    assert not told(day(0.9)).phases


def test_a_log_of_one_day_has_a_days_phases_though_its_first_and_last_request_are_less_than_a_day_apart() -> None:
    requests = [each for each in day(1) if 60 < each.time_s < DAY - 600]
    assert [each.duration_s for each in told(requests).phases] == [DAY / 2, DAY / 2]


def test_an_hour_that_brings_more_than_the_rates_say_is_told() -> None:
    assert told(day(0.9)).busiest_hour == pytest.approx(1.8, rel=0.1)
    assert told(day(3)).busiest_hour is None, "phases say it"
    assert told(day(0.9), busiest_hour=True).busiest_hour is None
    assert told(drawn("sql", 0.2, DAY / 2)).busiest_hour is None
    busy = sorted([*day(3), *drawn("sql", 0.6, 3000)], key=lambda each: each.time_s)
    assert told(busy).busiest_hour == pytest.approx(2.2, rel=0.25), "an hour of one day beyond those of all"


def test_the_busiest_hour_gives_the_rates_when_asked() -> None:
    requests = day(2)
    mean, peak = (one(told(requests, busiest_hour=busy), "sql").traffic.rate for busy in (False, True))
    assert mean and peak and peak == pytest.approx(1.6 * mean, rel=0.15)
    assert any("busiest hour brings" in note for note in told(requests).notes)


@pytest.mark.parametrize("since", [0.0, 1_769_860_800.1])
def test_the_busiest_hour_has_all_its_requests_also_where_the_log_ends(since: float) -> None:
    requests = [Request(since + at, "sql", 9, 9, None) for at in (0.0, 7200.0, 7201.7)]
    found = told(requests, busiest_hour=True)
    assert found.requests == 2
    assert one(found, "sql").traffic.rate == pytest.approx(2 / 3600)


def test_a_long_silence_is_told() -> None:
    even = [Request(5.0 * i, "sql", 9, 9, None) for i in range(100)]
    later = [each._replace(time_s=each.time_s + 20 * DAY) for each in even]
    notes = told([*even, *later]).notes
    assert any("no request for 20 days in between" in note for note in notes)
    assert any("hour brings 239 times the mean" in note for note in notes)
    assert any("no request for 50 minutes" in note for note in told([*even, even[0]._replace(time_s=3495.0)]).notes)
    assert not any("in between" in note for each in (even, day(3), even[:3]) for note in told(each).notes)


def test_a_prefix_that_all_texts_share_is_told_in_tokens() -> None:
    system = "You answer questions about invoices, shortly. " * 10
    texts = [f"{system}{i * 7919 % 1000}" for i in range(30)]
    requests = [Request(float(i), "sql", len(text) // 4, 10, text) for i, text in enumerate(texts)]
    prefix = one(told(requests), "sql").traffic.shared_prefix
    assert prefix and prefix == pytest.approx(len(system) / 4, rel=0.1)
    assert all(prefix < (each.input or 0) for each in requests)
    assert (
        one(told([each._replace(text=str(i)) for i, each in enumerate(requests)]), "sql").traffic.shared_prefix is None
    )


LINES = [(1_769_860_800.0 + 10 * i, name, 100 + i, 50 + i) for i, name in enumerate(["sql", "legal", "", "sql"])]


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def litellm(when: float, name: str, tokens_in: int, tokens_out: int) -> str:
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    return json.dumps(
        {"id": "x", "startTime": iso(when), "model": f"hosted_vllm/{name or BASE}", "response": {"usage": usage}}
    )


LOGS = {
    "csv": "time,adapter,input,output\n" + "".join(f"{t},{n},{i},{o}\n" for t, n, i, o in LINES),
    "semicolons": "Timestamp;Model;Prompt Tokens;Completion Tokens\n"
    + "".join(f"{iso(t)};{n or BASE};{i};{o}\n" for t, n, i, o in LINES),
    "milliseconds": "created_at\tlora_name\tinput_tokens\toutput_tokens\n"
    + "".join(f"{t * 1000:.0f}\t{n}\t{i}\t{o}\n" for t, n, i, o in LINES),
    "flat json": "".join(
        json.dumps({"ts": t, "adapter": n or None, "prompt_tokens": i, "completion_tokens": o}) + "\n"
        for t, n, i, o in LINES
    ),
    "litellm": "".join(litellm(*line) + "\n" for line in LINES),
    "json list": "[" + ",\n".join(litellm(*line) for line in LINES) + "]",
}


@pytest.mark.parametrize("kind", LOGS)
def test_one_log_in_any_spelling_is_one_log(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(LOGS[kind])
    log = request_log.read(path)
    assert [(each.time_s, each.input, each.output) for each in log.requests] == [(t, i, o) for t, _, i, o in LINES]
    found = traffic.discover(log, base_names={BASE})
    assert [(each.name, each.traffic.requests) for each in found.adapters] == [("legal", 1), ("sql", 2)]
    assert found.base and found.base.requests == 1


def test_vllms_own_log_names_adapters_and_no_lengths(tmp_path: Path) -> None:
    def line(second: int, lora: str) -> str:
        return (
            f"(APIServer pid=7) INFO 02-13 11:33:{second:02} [logger.py:49] Received request chatcmpl-{second}: "
            f"params: SamplingParams(n=1, stop=[], max_tokens=100), lora_request: {lora}.\n"
            'INFO:     10.0.0.1:5 - "POST /v1/chat/completions HTTP/1.1" 200 OK\n'
        )

    path = tmp_path / "vllm.log"
    sql = "LoRARequest(lora_name='sql', lora_int_id=1, lora_path='/a', tensorizer_config_dict=None)"
    path.write_text(line(1, sql) + line(11, "None") + line(21, sql))
    found = traffic.discover(request_log.read(path), base_names=())
    assert [(each.name, each.traffic.requests) for each in found.adapters] == [("sql", 2)]
    assert found.base and found.base.requests == 1
    assert any("does not tell how long" in note for note in found.notes)


def test_a_few_broken_lines_are_passed_over_and_told(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(LOGS["litellm"] + '{"startTime": "2026-02-01T00:0')
    found = traffic.discover(request_log.read(path), base_names={BASE})
    assert any("1 records tell no request" in note and "line 5" in note for note in found.notes)


FAILURES = {
    "litellm": {"status": "failure", "error_str": "RateLimitError: 429"},
    "code": {"status_code": 503},
    "openai batch": {"response": {"status_code": 500, "body": {}}, "error": None},
    "error": {"error": {"message": "boom", "code": None}},
    "text": {"http_status": "429"},
    "flag": {"success": False},
    "nested": {"metadata": {"status": "failure", "error_information": {"error_code": "400"}}},
}
FINE = {
    "litellm": {"status": "success", "error_str": None, "error_information": {"error_code": "", "error_class": ""}},
    "code": {"status_code": 200, "error": ""},
    "openai": {"response": {"status_code": 200, "body": {"error": None}}, "error": None},
    "reason": {"finish_reason": "length", "state": "completed", "success": True},
    "nested": {"status": "success", "metadata": {"status": "failed the first time"}},
}


@pytest.mark.parametrize("kind", FAILURES)
def test_failed_requests_are_no_traffic_and_are_told(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    rows = [{"time": 10 * i, "model": "sql", "prompt_tokens": 100, "completion_tokens": 50} for i in range(10)]
    path.write_text("".join(json.dumps({**row, **FAILURES[kind]} if row["time"] >= 70 else row) + "\n" for row in rows))
    log = request_log.read(path)
    assert len(log.requests) == 7 and sum(log.failed.values()) == 3
    found = traffic.discover(log, base_names={BASE})
    assert one(found, "sql").traffic.requests == 7
    assert any("3 requests failed and are not counted" in note for note in found.notes)
    path.write_text("".join(json.dumps({**row, **FAILURES[kind]}) + "\n" for row in rows))
    with pytest.raises(InputError, match="every request here failed"):
        request_log.read(path)


@pytest.mark.parametrize("kind", FINE)
def test_served_requests_are_no_failures(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    row = {"model": "sql", "prompt_tokens": 100, "completion_tokens": 50, **FINE[kind]}
    path.write_text("".join(json.dumps({"time": i, **row}) + "\n" for i in range(3)))
    log = request_log.read(path)
    assert len(log.requests) == 3 and not log.failed


def test_a_column_of_codes_in_csv_tells_failures(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("time,adapter,input,output,status\n0,a,9,9,200\n1,a,9,0,429\n2,a,9,9,200\n3,a,9,9,\n")
    log = request_log.read(path)
    assert (len(log.requests), dict(log.failed)) == (3, {"status 429": 1})


def test_times_of_two_kinds_are_no_rate() -> None:
    with pytest.raises(InputError, match="of one kind"):
        told([Request(10.0, "sql", 9, 9, None), Request(1.77e9, "sql", 9, 9, None)])


@pytest.mark.parametrize(
    "text", ["", "\n", "hello", "a,b\n1,2\n", "{}\n{}\n", "[]", "[1, 2]", '{"time": 1}', "time\nnever\n"]
)
def test_what_is_no_log_is_an_error_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        traffic.discover(request_log.read(path), base_names=())
    assert "\n" not in str(error.value)


@given(st.sampled_from(sorted(LOGS)), st.integers(0, 400), st.text(max_size=4), st.integers(0, 5))
def test_any_text_is_a_log_or_an_error_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, kind: str, at: int, put: str, without: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.log"
    path.write_text(LOGS[kind][:at] + put + LOGS[kind][at + without :], encoding="utf-8", errors="replace")
    try:
        traffic.discover(request_log.read(path), base_names={BASE})
    except InputError as error:
        assert "\n" not in str(error)
