"""Request logs as servers, gateways and people write them: who was asked when, and how long it was.

Read are CSV with a header, JSON lines or a JSON list (flat or nested: LiteLLM's, OpenAI's usage), and what vLLM writes
under `--enable-log-requests`, which names the adapter but no lengths.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from advisor import input_file
from advisor.discovery.base_model import asked_name
from advisor.errors import InputError
from advisor.inventory.document import shown
from advisor.inventory.schema import MAX_TOKENS

MAX_BYTES = 1024**3
_WHAT = "a log of requests is CSV with a header, JSON lines, or vLLM's own log with --enable-log-requests"
_TIMES = (
    "time", "timestamp", "ts", "arrival", "arrivaltime", "starttime", "requesttime", "receivedat", "createdat",
    "created", "datetime", "date", "apicallstarttime",
)  # fmt: skip
_ADAPTERS = (
    "adapter", "adaptername", "lora", "loraname", "loraadapter", "targetmodelname", "requestedmodel", "model",
    "modelname", "modelid",
)  # fmt: skip
_INPUTS = (
    "input", "inputtokens", "prompttokens", "numprompttokens", "inputlen", "promptlen", "inputlength", "promptlength",
    "contexttokens", "requesttokens", "requestlength",
)  # fmt: skip
_OUTPUTS = (
    "output", "outputtokens", "completiontokens", "generatedtokens", "generationtokens", "numgenerationtokens",
    "numoutputtokens", "outputlen", "outputlength", "responsetokens", "responselength",
)  # fmt: skip
_TEXTS = ("messages", "prompt", "text", "prompttext")
_STATES = {"status", "state", "outcome", "requeststatus", "responsestatus", "finishreason"}
_CODES = {"statuscode", "httpstatus", "httpstatuscode", "responsecode", "httpcode", "httpresponsecode"}
_ERRORS = {
    "error", "exception", "errormessage", "errorstr", "errorcode", "errortype", "errorinformation", "exceptiontype",
    "failurereason",
}  # fmt: skip
_SUCCESSES = {"success", "succeeded", "successful", "issuccess", "ok"}
_FAILED = re.compile(r"(fail|err|except|reject|refus|timed? ?out|abort|cancel|throttl)", re.IGNORECASE)
_NOTHING = ("", "0", "none", "null", "nan", "false", "no", "-", "ok")
_DEEPEST = 4
"""Levels of nesting that are looked into; usage stands at the second or third."""
_EPOCH_MS = 1e11
"""Above it a number of seconds since 1970 would be in the year 5138: it is in ms."""
_VLLM = re.compile(
    r"(?P<month>\d\d)-(?P<day>\d\d) (?P<clock>\d\d:\d\d:\d\d(?:\.\d+)?).{0,80}Received request \S+: (?P<rest>.*)",
    re.DOTALL,
)
_LORA = re.compile(r"lora_request: (?:None|LoRARequest\(.{0,40}?lora_name='(?P<name>(?:[^'\\]|\\.)*)')")


class Request(NamedTuple):
    """A request as a log has it."""

    time_s: float
    """Seconds, since 1970 or since the log's own beginning."""
    name: str
    """Whom it asks; empty for the base model."""
    input: int | None
    """Tokens, where the log tells."""
    output: int | None
    text: str | None
    """What it says, where the log holds it."""


class Log(NamedTuple):
    """The requests of a log, in its order, and what in it was none."""

    requests: list[Request]
    skipped: int
    """Records that tell no request."""
    first: str
    """The first of them, and why, or empty."""
    clock: bool
    """Whether times are times of day (UTC)."""
    failed: Mapping[str, int] = MappingProxyType({})
    """Requests that failed, which are none of those above: how, as the log says it, and how many."""


def read(path: Path) -> Log:
    """Read a log.

    Raises:
        InputError: it cannot be read, is no log, or holds no request.
    """
    text = input_file.read_text(path, _WHAT, MAX_BYTES)
    requests, failed, skipped, first = list[Request](), Counter[str](), 0, ""
    records, request = _records(text, path)
    for line, record in records:
        try:
            made = request(record)
            if how := _failure(record):
                failed[how] += 1
            else:
                requests.append(made)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            skipped += 1
            first = first or f"line {line}: {str(error)[:160]}"
    if failed and not requests:
        raise InputError(f"{path}: every request here failed ({failed.most_common(1)[0][0]}), so there is no traffic")
    if not requests:
        raise InputError(f"{path}: no request here{f' ({first})' if first else ''}; {_WHAT}")
    if skipped > (told := len(requests) + failed.total()):
        raise InputError(f"{path}: {skipped:,} of {skipped + told:,} records tell no request ({first}); {_WHAT}")
    return Log(requests, skipped, first, min(each.time_s for each in requests) > 1e8, failed)


def _records(text: str, path: Path) -> tuple[Iterable[tuple[int, Any]], Callable[[Any], Request]]:
    """The records with their lines, and what makes a request of one."""
    start = text.lstrip()[:1]
    if start == "[" and (listed := _json_list(text)) is not None:
        return enumerate(listed, start=1), _of_table()
    if start == "{":
        return _json_lines(text), _of_table()
    if "Received request" in text:
        lines = text.splitlines()
        return ((i, line) for i, line in enumerate(lines, start=1) if "Received request" in line), _of_vllm
    return _csv(text, path), _of_table()


def _json_list(text: str) -> list[Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _json_lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, None


def _csv(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = next(reader, [])
        for row in reader:
            if row:
                yield reader.line_num, dict(zip(header, row, strict=False))
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None


def _of_vllm(line: str) -> Request:
    found = _VLLM.search(line)
    lora = _LORA.search(line)
    if not found or not lora:
        raise ValueError("no time and lora_request, as vLLM writes them")
    # No year stands there; that of a leap year takes every day.
    moment = datetime.fromisoformat(f"2024-{found['month']}-{found['day']}T{found['clock']}+00:00")
    return Request(moment.timestamp(), lora["name"] or "", None, None, None)


def _of_table() -> Callable[[Any], Request]:
    """What makes a request of a record with named values; it remembers where the last record had them."""
    places = dict[tuple[str, ...], tuple[str, ...] | None]()

    def value(record: Mapping[str, Any], names: tuple[str, ...]) -> Any:
        place = places.get(names)
        if place is not None and (found := _at(record, place)) is not None:
            return found
        place = _place(record, names)
        if place is not None:
            places[names] = place
        return None if place is None else _at(record, place)

    def request(record: Any) -> Request:
        if not isinstance(record, dict):
            raise ValueError("not a record with named values")
        when, name = value(record, _TIMES), value(record, _ADAPTERS)
        if when is None:
            raise ValueError("no time (time, timestamp, startTime, created_at, ...)")
        return Request(
            _seconds(when),
            "" if name is None else asked_name(str(name)),
            _tokens(value(record, _INPUTS)),
            _tokens(value(record, _OUTPUTS)),
            _text(value(record, _TEXTS)),
        )

    return request


def _failure(record: Any) -> str:
    """How a request failed, by the least nested of what a record says of that; empty where it did not, or none tells.

    Whatever was refused or broken off was no work, or not the work that its lengths would tell.
    """
    level: list[Mapping[str, Any]] = [record] if isinstance(record, dict) else []
    for _ in range(_DEEPEST):
        verdicts = [
            each for table in level for key, value in table.items() if (each := _verdict(key, value)) is not None
        ]
        if verdicts:
            return next(filter(None, verdicts), "")
        level = [each for table in level for each in table.values() if isinstance(each, dict)]
    return ""


def _verdict(key: str, value: Any) -> str | None:
    """How a value says that its request failed; empty where it says that it did not, None where it says neither."""
    name = _plain(key)
    if name in _ERRORS:
        return f"{key} {shown(value)}" if _says_anything(value) else None
    word = str(value).strip().lower() if isinstance(value, str | int | float) else ""
    if name in _SUCCESSES and word:
        return f"{key} {shown(value)}" if word in _NOTHING[:-1] else ""
    if name not in _STATES | _CODES or not word:
        return None
    if word.isdecimal() and word.isascii():
        return f"status {word}" if 400 <= int(word[:9]) < 600 else ""
    return f"{key} {shown(value)}" if name in _STATES and _FAILED.match(word) else ""


def _says_anything(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_says_anything, value.values() if isinstance(value, dict) else value))
    return value is not None and str(value).strip().lower() not in _NOTHING


def _place(record: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Where a record has one of these names: the least nested, and of those the first of `names`."""
    level: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [((), record)]
    for _ in range(_DEEPEST):
        found = {
            _plain(key): (*path, key) for path, table in reversed(level) for key in table if _told(table[key], names)
        }
        if place := next((found[name] for name in names if name in found), None):
            return place
        level = [((*path, key), each) for path, table in level for key, each in table.items() if isinstance(each, dict)]
    return None


def _told(value: Any, names: tuple[str, ...]) -> bool:
    """Whether a value can be meant: neither missing nor a table, and a number where tokens are looked for."""
    if value in (None, "") or isinstance(value, dict):
        return False
    if names in (_INPUTS, _OUTPUTS):
        return isinstance(value, int | float) or (isinstance(value, str) and value.strip().isdecimal())
    return names is _TEXTS or not isinstance(value, list)


def _at(record: Mapping[str, Any], place: tuple[str, ...]) -> Any:
    value: Any = record
    for key in place:
        value = value.get(key) if isinstance(value, dict) else None
    return value


@lru_cache(maxsize=4096)
def _plain(key: str) -> str:
    """A key without what spellings differ in: case, and the signs between words."""
    return re.sub(r"[^a-z0-9]", "", key.casefold())


def _seconds(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(f"{value} is no time")
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        moment = datetime.fromisoformat(str(value).strip().replace(" UTC", "+00:00"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{value} is no time")
    while seconds > _EPOCH_MS:  # ms, µs or ns
        seconds /= 1e3
    return seconds


def _tokens(value: Any) -> int | None:
    """Tokens, 1 at least; None where there are none: a request that failed, or a log that does not tell."""
    if value in (None, "") or isinstance(value, bool):
        return None
    tokens = float(value)
    return round(tokens) if 1 <= tokens <= MAX_TOKENS else None


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        parts = [each if isinstance(each, str) else json.dumps(each, sort_keys=True) for each in value]
        return "\n".join(parts)
    return value if isinstance(value, str) and value else None
