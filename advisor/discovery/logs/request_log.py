"""Request logs as servers, gateways and people write them: who was asked when, and how long it was.

Read are CSV with a header, JSON lines or a JSON list (flat or nested: LiteLLM's, OpenAI's usage), and what vLLM writes
under `--enable-log-requests`, which names the adapter but no lengths.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from advisor import input_file
from advisor.discovery.base_model import asked_name
from advisor.discovery.logs.moments import seconds
from advisor.discovery.logs.record import ADAPTER, IDENTITY, INPUT, OUTPUT, TEXT, TIME, Layouts
from advisor.discovery.logs.request import Request, Requests
from advisor.errors import InputError
from advisor.inventory.schema import MAX_TOKENS

MAX_BYTES = 1024**3
_WHAT = "a log of requests is CSV with a header, JSON lines, or vLLM's own log with --enable-log-requests"
_RECEIVED = "Received request"
_LEAP = 2024
_LEAP_YEAR_S = 366 * 86400.0
_LOOKED_AT = 2000
"""Records of a collector among which one of vLLM's lines is looked for: a server says much before its first request."""
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?")
_BLANK = re.compile(r"[\s,]*")
_FROM_CACHE = "answered from a cache"
_VLLM = re.compile(
    r"(?P<month>\d\d)-(?P<day>\d\d) (?P<clock>\d\d:\d\d:\d\d(?:\.\d+)?).{0,80}Received request \S+: (?P<rest>.*)",
    re.DOTALL,
)
_LORA = re.compile(r"lora_request: (?:None|LoRARequest\(.{0,40}?lora_name='(?P<name>(?:[^'\\]|\\.)*)')")

_Told = tuple[Request | str, Any]
"""A request, or how it failed; and what tells it from others."""
_Maker = Callable[[Any], _Told]


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
    cached: int = 0
    """Requests that a gateway answered from its own cache, which are none of those above either."""
    repeated: int = 0
    """Records that tell of a request that another record told of."""


def read(path: Path) -> Log:
    """Read a log.

    Raises:
        InputError: it cannot be read, is no log, or holds no request.
    """
    text = input_file.read_export(path, _WHAT, MAX_BYTES)
    gathered, failed, skipped, first, cached = Requests(), Counter[str](), 0, "", 0
    records, request = _records(text, path)
    for line, record in records:
        try:
            made, identity = request(record)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            skipped += 1
            first = first or f"line {line}: {str(error)[:160]}"
        else:
            if isinstance(made, Request):
                gathered.add(made, identity)
            elif made is _FROM_CACHE:
                cached += 1
            else:
                gathered.fail(identity)
                failed[made] += 1
    requests = gathered.all()
    if failed and not requests:
        raise InputError(f"{path}: every request here failed ({failed.most_common(1)[0][0]}), so there is no traffic")
    if not requests:
        raise InputError(f"{path}: no request here{f' ({first})' if first else ''}; {_WHAT}")
    if skipped > (told := len(requests) + gathered.repeated + failed.total() + cached):
        raise InputError(f"{path}: {skipped:,} of {skipped + told:,} records tell no request ({first}); {_WHAT}")
    return Log(requests, skipped, first, min(each.time_s for each in requests) > 1e8, failed, cached, gathered.repeated)


def _records(text: str, path: Path) -> tuple[Iterable[tuple[int, Any]], _Maker]:
    """The records with their lines, and what makes a request of one."""
    start = text.lstrip()[:1]
    if start == "[" and (listed := _json_list(text)) is not None:
        return enumerate(listed, start=1), _of_table()
    if start == "{":
        wrapped = _RECEIVED in text and any(_message(record) for _, record in islice(_json(text), _LOOKED_AT))
        if wrapped:
            return ((i, record) for i, record in _json(text) if _message(record)), _of_wrapped()
        return _json(text), _of_table()
    if _RECEIVED in text:
        return ((i, line) for i, line in _lines(text) if _RECEIVED in line), _of_vllm()
    return _csv(text, path), _of_table()


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text with their numbers, where it breaks them; other signs that look like breaks are none."""
    number, at = 1, 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        yield number, text[at:end]
        number, at = number + 1, end + 1


def _json_list(text: str) -> list[Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _json(text: str) -> Iterator[tuple[int, Any]]:
    """Records of JSON lines, or of JSON that takes several lines for each, such as jq's; None where one is broken."""
    for number, line in _lines(text):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            if number == 1 and line.strip() in ("{", "[", '{"data": [', '{"data":['):
                yield from _json_values(text)
                return
            record = None
        if number == 1 and (inner := _only_list(record)):
            yield from enumerate(inner, start=1)
        else:
            yield number, record


def _json_values(text: str) -> Iterator[tuple[int, Any]]:
    """JSON values one after the other, by their numbers."""
    decoder, number, at = json.JSONDecoder(), 1, 0
    while at < len(text) and (begin := _BLANK.match(text, at).end()) < len(text):  # type: ignore[union-attr]
        try:
            record, at = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError):
            yield number, None
            return
        for each in _only_list(record) or [record]:
            yield number, each
            number += 1


def _only_list(record: Any) -> list[Any]:
    """The records in what an API answers with: a table with a list of tables in it."""
    if not isinstance(record, dict):
        return []
    lists = [each for key, each in record.items() if isinstance(each, list) and key in ("data", "logs", "items")]
    return lists[0] if len(lists) == 1 and all(isinstance(each, dict) for each in lists[0]) else []


def _csv(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    delimiter = max(",;\t|", key=text.partition("\n")[0].count)
    csv.field_size_limit(MAX_BYTES)  # a prompt may be longer than what the reader takes unless it is told
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = next(reader, [])
        for row in reader:
            if row:
                yield reader.line_num, dict(zip(header, row, strict=False))
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None


def _of_vllm() -> _Maker:
    """What makes a request of a line of vLLM's; it follows the years, which no line tells."""
    last, years = None, 0.0

    def request(line: Any) -> _Told:
        nonlocal last, years
        found = _VLLM.search(line)
        loras = list(_LORA.finditer(line))  # a prompt that stands before it may hold the like
        if not found or not loras:
            raise ValueError("no time and lora_request, as vLLM writes them")
        # No year stands there; that of a leap year takes every day.
        moment = datetime.fromisoformat(f"{_LEAP}-{found['month']}-{found['day']}T{found['clock']}+00:00").timestamp()
        if last is not None:
            years = min((years, years - 1, years + 1), key=lambda each: abs(moment + each * _LEAP_YEAR_S - last))
        last = moment + years * _LEAP_YEAR_S
        return Request(last, loras[-1]["name"] or "", None, None, None), None

    return request


def _of_wrapped() -> _Maker:
    """What makes a request of a record that a collector of logs wrote around a line of vLLM's."""
    layouts, of_line = Layouts(), _of_vllm()

    def request(record: Any) -> _Told:
        made, _ = of_line(_message(record))
        key, when = layouts.of(record).find(TIME)
        if when is not None and isinstance(made, Request):
            made = made._replace(time_s=seconds(when, key))
        return made, None

    return request


def _message(record: Any) -> str:
    """The line of vLLM's that a record holds; empty where it holds none."""
    for table in (record, *record.values()) if isinstance(record, dict) else ():
        for value in table.values() if isinstance(table, dict) else ():
            if isinstance(value, str) and _RECEIVED in value and "lora_request: " in value:
                return value
    return ""


def _of_table() -> _Maker:
    """What makes a request of a record with named values, or tells how it failed, or that no server was asked."""
    layouts = Layouts()

    def request(record: Any) -> _Told:
        if not isinstance(record, dict):
            raise ValueError("not a record with named values")
        fields = layouts.of(record)
        key, when = fields.find(TIME)
        if when is None:
            raise ValueError("no time (time, timestamp, startTime, created_at, ...)")
        if isinstance(when, str) and _CLOCK.fullmatch(when.strip()) and (day := record.get("date", record.get("Date"))):
            when = f"{str(day).strip()} {when.strip()}"
        made = Request(
            seconds(when, key),
            asked_name(str(fields.find(ADAPTER)[1] or "")),
            _tokens(fields.find(INPUT)[1]),
            _tokens(fields.find(OUTPUT)[1]),
            _text(fields.find(TEXT)[1]),
        )
        how = _FROM_CACHE if fields.cached() else fields.failure()
        return how or made, fields.find(IDENTITY)[1]

    return request


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
