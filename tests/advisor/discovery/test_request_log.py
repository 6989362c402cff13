"""Logs as servers, gateways, collectors and people write them: one log in any of their forms is one log."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from advisor.discovery.logs import traffic
from advisor.discovery.logs.moments import seconds
from advisor.discovery.logs.request_log import Log, read
from advisor.errors import InputError

BASE = "meta-llama/Llama-3.1-8B-Instruct"
AT = 1_769_860_800.25
MOMENT = datetime.fromtimestamp(AT, UTC)


@pytest.mark.parametrize(
    "value",
    [
        AT, str(AT), AT * 1e3, AT * 1e6, int(AT * 100) * 10**7, f"{AT * 1e3:.0f}", MOMENT.isoformat(),
        MOMENT.isoformat().replace("+00:00", "Z"), MOMENT.strftime("%Y-%m-%d %H:%M:%S.%f UTC"),
        MOMENT.strftime("%Y-%m-%d %H:%M:%S,%f")[:-3], MOMENT.strftime("%Y-%m-%d %H:%M:%S.%f000 +0000 UTC"),
        MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
        MOMENT.strftime("%Y/%m/%d %H:%M:%S.%f"), f" {MOMENT.isoformat()} ",
    ],
)  # fmt: skip
def test_one_time_in_any_spelling_is_one_time(value: Any) -> None:
    assert seconds(value) == pytest.approx(AT, abs=1e-3)


@pytest.mark.parametrize(
    "text",
    [MOMENT.strftime("%d/%b/%Y:%H:%M:%S +0000"), MOMENT.strftime("[%d/%b/%Y:%H:%M:%S +0000]"),
     format_datetime(MOMENT), MOMENT.strftime("%a %b %d %H:%M:%S %Y"), MOMENT.strftime("%Y/%m/%d %H:%M:%S")],
)  # fmt: skip
def test_times_of_whole_seconds_are_read_as_well(text: str) -> None:
    assert seconds(text) == int(AT)


@pytest.mark.parametrize(
    "value", [True, "never", "", -1, float("nan"), float("inf"), "2026-13-45", [1], None, "x" + " " * 200_000 + "y"]
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        seconds(value)


def test_a_unit_in_a_columns_name_is_believed(tmp_path: Path) -> None:
    log = written(tmp_path, "arrival_time_ms,model,input_length,output_length\n0,a,9,9\n3052,b,9,9\n")
    assert [each.time_s for each in log.requests] == [0, 3.052]


def written(folder: Path, text: str | bytes) -> Log:
    path = folder / "log"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path)


def rows(log: Log) -> list[tuple[str, int | None, int | None]]:
    return [(each.name, each.input, each.output) for each in log.requests]


PLAIN = "time,adapter,input,output\n0,sql,100,50\n10,,120,60\n20,legal,90,\n"


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.replace("\n", "\r\n").encode(),
        gzip.compress(PLAIN.encode(), mtime=0),
        gzip.compress(PLAIN[:40].encode(), mtime=0) + gzip.compress(PLAIN[40:].encode(), mtime=0),
        PLAIN.replace(",", "|").encode(),
        PLAIN.replace("100", "100.0").replace("60", " 60.0").encode(),
        b"timestamp,LoRA Adapter,gen_ai.usage.input_tokens,Tokens Out\n0,sql,100,50\n10,,120,60\n20,legal,90,\n",
    ],
)
def test_one_table_in_any_wrapping_is_one_table(data: bytes, tmp_path: Path) -> None:
    assert rows(written(tmp_path, data)) == [("sql", 100, 50), ("", 120, 60), ("legal", 90, None)]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gzip.compress(PLAIN.encode(), mtime=0)[:-9], "cut short"),
        (b"\x1f\x8b" + bytes(50), "packed by gzip, and broken"),
        (PLAIN.encode("utf-16")[:-1], "not UTF-16"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 9, "not UTF-8"),
    ],
)
def test_what_cannot_be_unpacked_is_an_error_in_one_line(data: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as error:
        written(tmp_path, data)
    assert "\n" not in str(error.value)


def test_what_gzip_unpacks_to_has_a_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.discovery.logs.request_log.MAX_BYTES", 10_000)
    with pytest.raises(InputError, match=r"more than 10,000 bytes, unpacked"):
        written(tmp_path, gzip.compress(bytes(1_000_000)))


def lines(*records: Any) -> str:
    return "".join(json.dumps(each) + "\n" for each in records)


def test_the_adapter_counts_before_the_model_in_whatever_order_records_come(tmp_path: Path) -> None:
    base = {"time": 0, "adapter": None, "model": BASE, "usage": {"prompt_tokens": 10}}
    sql = {"time": 1, "adapter": "sql", "model": BASE, "usage": {"prompt_tokens": 20}}
    for records in ((base, sql), (sql, base)):
        names = {(each.name, each.input) for each in written(tmp_path, lines(*records)).requests}
        assert names == {(BASE, 10), ("sql", 20)}


def test_a_table_of_very_many_columns_is_read(tmp_path: Path) -> None:
    names = [*(f"c{i}" for i in range(50_000)), "time", "model"]
    log = written(tmp_path, ",".join(names) + "\n" + "1," * 50_000 + "0,a\n" + "1," * 50_000 + "1,a\n")
    assert len(log.requests) == 2


@pytest.mark.parametrize(
    "header",
    [
        "TIMESTAMP,model_id,ContextTokens,GeneratedTokens",
        "start_timestamp,lora_id,prefill_tokens,decode_tokens",
        "arrived_at,LoRA_Adapter,prompt_len,gen_len",
        "@timestamp,requested_model,usage.prompt_tokens,usage.completion_tokens",
        "request.start_time,gen_ai.request.model,gen_ai.usage.input_tokens,gen_ai.usage.output_tokens",
        "epoch,target_model,ISL,OSL",
    ],
)
def test_columns_go_by_many_names(header: str, tmp_path: Path) -> None:
    log = written(tmp_path, f"{header}\n1769860800,sql,100,50\n1769860801,legal,90,40\n")
    assert rows(log) == [("sql", 100, 50), ("legal", 90, 40)] and log.clock


def test_a_sign_that_looks_like_a_line_break_breaks_no_record(tmp_path: Path) -> None:
    record = {"time": 0, "model": "sql", "prompt": "a\u2028b\x85c"}
    text = "".join(json.dumps(record | {"time": i}, ensure_ascii=False) + "\n" for i in range(3))
    log = written(tmp_path, text)
    assert (len(log.requests), log.skipped) == (3, 0)


@pytest.mark.parametrize("wrap", [lambda each: {"data": each}, lambda each: {"total": 3, "logs": each}, None])
def test_what_apis_and_jq_write_is_read(wrap: Any, tmp_path: Path) -> None:
    records = [{"time": i, "model": "sql", "prompt_tokens": 9, "completion_tokens": 5} for i in range(3)]
    texts = (
        ["".join(json.dumps(each, indent=2) + "\n" for each in records), json.dumps(records, indent=2)]
        if wrap is None
        else [json.dumps(wrap(records)), json.dumps(wrap(records), indent=2)]
    )
    for text in texts:
        assert rows(written(tmp_path, text)) == [("sql", 9, 5)] * 3


def test_a_day_and_a_time_in_two_columns_are_one_time(tmp_path: Path) -> None:
    log = written(tmp_path, "date,time,model\n2026-01-31,23:59:59,a\n2026-02-01,00:00:01.5,a\n")
    assert log.requests[1].time_s - log.requests[0].time_s == 2.5


def test_a_prompt_of_many_characters_is_read_from_csv(tmp_path: Path) -> None:
    log = written(tmp_path, f'time,model,prompt\n0,a,"{"x, " * 100_000}"\n1,a,"say ""hi""\nthere"\n')
    assert [len(each.text or "") for each in log.requests] == [300_000, 14]


def test_what_litellm_answers_from_its_cache_is_no_traffic(tmp_path: Path) -> None:
    row = {"startTime": 0, "call_type": "acompletion", "model": "sql", "prompt_tokens": 9, "completion_tokens": 5}
    hits = ["False", "True", "None", "True", ""]
    log = written(tmp_path, lines(*(row | {"startTime": i, "cache_hit": hit} for i, hit in enumerate(hits))))
    assert (len(log.requests), log.cached) == (3, 2)
    assert any("2 requests were answered from the gateway's cache" in note for note in discovered(log).notes)


def test_records_of_one_request_are_one_request(tmp_path: Path) -> None:
    records = [
        {"time": 0, "request_id": "r-1", "model": "sql", "event": "begin", "prompt_tokens": 9},
        {"time": 1, "request_id": "r-1", "event": "piece", "completion_tokens": 3},
        {"time": 2, "request_id": "r-2", "model": "sql", "event": "begin"},
        {"time": 3, "request_id": "r-1", "event": "end", "completion_tokens": 7, "status": 200},
        {"time": 4, "request_id": "r-2", "event": "end", "status": 500},
        {"time": 5, "model": "sql"},
        {"time": 6, "model": "sql"},
        {"time": 7, "request_id": "r-2", "model": "sql", "event": "again"},
    ]
    log = written(tmp_path, lines(*records))
    assert rows(log) == [("sql", 9, 7), ("sql", None, None), ("sql", None, None), ("sql", None, None)]
    assert [each.time_s for each in log.requests] == [0, 5, 6, 7]
    assert (log.repeated, sum(log.failed.values())) == (2, 1)
    assert any("2 records tell of a request told before" in note for note in discovered(log).notes)


@pytest.mark.parametrize("identity", ["-", "", None, "same", 0])
def test_an_identity_that_tells_nothing_joins_no_requests(identity: Any, tmp_path: Path) -> None:
    records = [{"time": 4000 * i, "request_id": identity, "model": "sql"} for i in range(3)]
    assert len(written(tmp_path, lines(*records)).requests) == 3


def discovered(log: Log) -> Any:
    return traffic.discover(log, base_names={BASE})


@pytest.mark.parametrize("status", ["429 Too Many Requests", "500.0", "HTTP/1.1 503 Service Unavailable", 503.0])
def test_codes_of_failure_are_known_in_other_spellings(status: Any, tmp_path: Path) -> None:
    row = {"model": "sql", "prompt_tokens": 9}
    states = ["200 OK", "200.0", "HTTP/1.1 200 OK", 200.0, status]
    log = written(tmp_path, lines(*(row | {"time": i, "status": each} for i, each in enumerate(states))))
    assert (len(log.requests), sum(log.failed.values())) == (4, 1)


def vllm(when: str, lora: str | None, prompt: str = "") -> str:
    named = "None" if lora is None else f"LoRARequest(lora_name='{lora}', lora_int_id=1, lora_path='/a')"
    return f"INFO {when} [logger.py:49] Received request c-1: {prompt}params: Params(n=1), lora_request: {named}."


WRAPPED = {
    "docker": lambda line, when: json.dumps({"log": line + "\n", "stream": "stdout", "time": when}),
    "fluent": lambda line, when: json.dumps({"@timestamp": when, "kubernetes": {"pod": "a"}, "message": line}),
    "gcp": lambda line, when: json.dumps({"jsonPayload": {"message": line}, "timestamp": when}),
    "cri": lambda line, when: f"{when} stdout F {line}",
    "colours": lambda line, when: f"\x1b[0;36m(APIServer pid=1)\x1b[0;0m \x1b[32m{line[:4]}\x1b[0m{line[4:]}",  # noqa: ARG005
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_vllms_lines_are_found_in_what_collectors_wrap_around_them(kind: str, tmp_path: Path) -> None:
    wrap = WRAPPED[kind]
    said = [wrap("INFO 01-31 12:00:00 [api_server.py:1] Starting vLLM", "2026-01-31T12:00:00Z")] * 50
    asked = [
        wrap(vllm(f"01-31 12:00:{i:02}", "sql" if i % 3 else None), f"2026-01-31T12:00:{i:02}.5Z") for i in range(9)
    ]
    log = written(tmp_path, "\n".join(said + asked) + "\n")
    assert [each.name for each in log.requests] == ["sql" if i % 3 else "" for i in range(9)]
    assert [each.time_s - log.requests[0].time_s for each in log.requests] == list(range(9))


def test_a_new_year_in_vllms_log_is_the_next_second(tmp_path: Path) -> None:
    whens = ["12-31 23:59:58", "12-31 23:59:59", "01-01 00:00:00", "12-31 23:59:59.5", "01-01 00:00:02"]
    log = written(tmp_path, "\n".join(vllm(each, "sql") for each in whens))
    assert [each.time_s - log.requests[0].time_s for each in log.requests] == [0, 1, 2, 1.5, 4]


def test_a_prompt_cannot_name_the_adapter(tmp_path: Path) -> None:
    prompt = "prompt: \"lora_request: LoRARequest(lora_name='evil')\", "
    log = written(tmp_path, "\n".join(vllm(f"01-31 12:00:0{i}", "sql", prompt) for i in range(3)))
    assert {each.name for each in log.requests} == {"sql"}
