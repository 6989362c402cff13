"""Records of a log with named values: where they say what, whatever they call it, and whether a request failed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from advisor.inventory.document import shown

TIME, ADAPTER, INPUT, OUTPUT, TEXT, IDENTITY = "time", "adapter", "input", "output", "text", "identity"
"""Kinds of values."""
_TIMES = (
    "time", "timestamp", "ts", "arrival", "arrivaltime", "starttime", "requesttime", "receivedat", "createdat",
    "created", "datetime", "date", "apicallstarttime", "timestampms", "timems", "tsms", "arrivaltimems", "arrivalms",
    "starttimems", "startms", "epochms", "timestampus", "timeus", "timestampns", "timens", "tsns", "startns",
    "starttimens", "starttimeunixnano", "starttimeunixnanos", "times", "timeseconds", "timestamps", "arrivals",
    "arrivaltimes", "epoch", "unixtime", "start", "startedat", "requestedat", "requesttimestamp", "submittime",
    "submittedat", "eventtime", "asctime", "arrivedat", "queuedat", "requeststarttime", "starttimestamp",
    "requeststart", "begin", "begintime",
)  # fmt: skip
_ADAPTERS = (
    "adapter", "adaptername", "lora", "loraname", "loraadapter", "loraadaptername", "adapterid", "targetmodelname",
    "targetmodel", "requestedmodel", "model", "modelname", "modelid", "requestmodel", "genairequestmodel",
    "genairesponsemodel", "llmmodelname", "modelgroup", "loraid", "loraadapterid",
)  # fmt: skip
_INPUTS = (
    "input", "inputtokens", "prompttokens", "numprompttokens", "inputlen", "promptlen", "inputlength", "promptlength",
    "contexttokens", "requesttokens", "requestlength", "tokensin", "intokens", "inputtokencount", "prompttokencount",
    "numinputtokens", "nprompttokens", "ninputtokens", "totalinputtokens", "totalprompttokens", "tokensprompt",
    "inputsequencelength", "isl", "genaiusageinputtokens", "genaiusageprompttokens", "usageinputtokens",
    "usageprompttokens", "llmtokencountprompt", "prefilltokens", "prefilllength", "prompttokenslen", "promptevalcount",
)  # fmt: skip
_OUTPUTS = (
    "output", "outputtokens", "completiontokens", "generatedtokens", "generationtokens", "numgenerationtokens",
    "numoutputtokens", "outputlen", "outputlength", "responsetokens", "responselength", "tokensout", "outtokens",
    "outputtokencount", "completiontokencount", "numcompletiontokens", "numgeneratedtokens", "ncompletiontokens",
    "noutputtokens", "totaloutputtokens", "totalcompletiontokens", "tokenscompletion", "outputsequencelength", "osl",
    "genaiusageoutputtokens", "genaiusagecompletiontokens", "usageoutputtokens", "usagecompletiontokens",
    "llmtokencountcompletion", "completionlen", "completionlength", "generatedlen", "evalcount", "genlen", "gentokens",
    "numgentokens", "generatedtokencount", "generationlength", "generationlen", "decodetokens", "decodelength",
)  # fmt: skip
_TEXTS = ("messages", "prompt", "text", "prompttext")
_IDENTITIES = ("requestid", "reqid", "xrequestid", "litellmcallid")
_NAMES: Mapping[str, tuple[str, ...]] = {
    TIME: _TIMES, ADAPTER: _ADAPTERS, INPUT: _INPUTS, OUTPUT: _OUTPUTS, TEXT: _TEXTS, IDENTITY: _IDENTITIES,
}  # fmt: skip
_STATES = {"status", "state", "outcome", "requeststatus", "responsestatus", "finishreason"}
_CODES = {"statuscode", "httpstatus", "httpstatuscode", "responsecode", "httpcode", "httpresponsecode"}
_ERRORS = {
    "error", "exception", "errormessage", "errorstr", "errorcode", "errortype", "errorinformation", "exceptiontype",
    "failurereason",
}  # fmt: skip
_SUCCESSES = {"success", "succeeded", "successful", "issuccess", "ok"}
_VERDICTS = _STATES | _CODES | _ERRORS | _SUCCESSES
_LITELLM = {"calltype", "customllmprovider", "modelgroup", "cachekey"}
_FAILED = re.compile(r"(fail|err|except|reject|refus|timed? ?out|abort|cancel|throttl)", re.IGNORECASE)
_CODE = re.compile(r"(?:http\S*\s+)?([1-5]\d\d)(?:\.0*)?(?:\s|$)")
_NOTHING = ("", "0", "none", "null", "nan", "false", "no", "-", "ok")
_DEEPEST = 4
"""Levels of nesting that are looked into; usage stands at the second or third."""
_MOST_SHAPES = 1000

Place = tuple[str, ...]
"""The keys that lead to a value."""
Shape = tuple[Any, ...]
"""The keys of a record, and of the tables in it."""


class _Layout(NamedTuple):
    """Where records of one shape may say what."""

    places: Mapping[str, tuple[Place, ...]]
    """By kind of value: the least nested first, and of those the first of its names."""
    verdicts: tuple[tuple[Place, ...], ...]
    """What tells whether a request failed, by level."""
    cached: Place | None
    """What tells that a gateway answered by itself."""


class Layouts:
    """Looks up values in records, and remembers where those of one shape have them."""

    def __init__(self) -> None:
        self._known = dict[Shape, _Layout]()

    def of(self, record: Mapping[str, Any]) -> Fields:
        """The record, ready to be asked."""
        shape = _shape(record, _DEEPEST)
        layout = self._known.get(shape)
        if layout is None:
            if len(self._known) >= _MOST_SHAPES:
                self._known.clear()
            layout = self._known[shape] = _layout(record)
        return Fields(record, layout)


class Fields:
    """A record that can be asked for what it says."""

    def __init__(self, record: Mapping[str, Any], layout: _Layout) -> None:
        self._record, self._layout = record, layout

    def find(self, kind: str) -> tuple[str, Any]:
        """The key, without signs, and the value of this kind; an empty key where there is none."""
        for place in self._layout.places[kind]:
            value = _at(self._record, place)
            if _told(value, kind):
                return _plain(place[-1]), value
        return "", None

    def failure(self) -> str:
        """How a request failed, by the least nested of what a record says of that; empty where it did not, or none
        tells.

        Whatever was refused or broken off was no work, or not the work that its lengths would tell.
        """
        for level in self._layout.verdicts:
            verdicts = [each for place in level if (each := _verdict(place[-1], _at(self._record, place))) is not None]
            if verdicts:
                return next(filter(None, verdicts), "")
        return ""

    def cached(self) -> bool:
        """Whether LiteLLM answered from its own cache, so that no server was asked."""
        place = self._layout.cached
        return place is not None and str(_at(self._record, place)).lower() == "true"


def _shape(table: Mapping[str, Any], deep: int) -> Shape:
    return tuple(
        [(key, _shape(value, deep - 1)) if type(value) is dict and deep else key for key, value in table.items()]
    )


def _layout(record: Mapping[str, Any]) -> _Layout:
    levels = list(_levels(record))
    by_name = list[dict[str, list[Place]]]()
    for level in levels:
        by_name.append({})
        for place in level:
            by_name[-1].setdefault(_plain(place[-1]), []).append(place)
    places = {
        kind: tuple(place for level in by_name for name in names for place in level.get(name, ()))
        for kind, names in _NAMES.items()
    }
    verdicts = tuple(tuple(place for place in level if _plain(place[-1]) in _VERDICTS) for level in levels)
    of_litellm = any(_plain(place[-1]) in _LITELLM for place in levels[0])
    cached = next((place for place in levels[0] if of_litellm and _plain(place[-1]) == "cachehit"), None)
    return _Layout(places, tuple(filter(None, verdicts)), cached)


def _levels(record: Mapping[str, Any]) -> Iterator[list[Place]]:
    """The places of a record, level by level."""
    level: list[tuple[Place, Mapping[str, Any]]] = [((), record)]
    for _ in range(_DEEPEST):
        yield [(*path, key) for path, table in level for key in table]
        level = [((*path, key), each) for path, table in level for key, each in table.items() if isinstance(each, dict)]


def _told(value: Any, kind: str) -> bool:
    """Whether a value can be meant: neither missing nor a table, and a number where tokens are looked for."""
    if value is None or value == "" or isinstance(value, dict):
        return False
    if kind in (INPUT, OUTPUT):
        return isinstance(value, int | float) or (isinstance(value, str) and _is_number(value))
    return kind == TEXT or not isinstance(value, list)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _at(record: Mapping[str, Any], place: Place) -> Any:
    value: Any = record
    for key in place:
        value = value.get(key) if isinstance(value, dict) else None
    return value


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
    if code := _CODE.match(word):
        return f"status {code[1]}" if int(code[1]) >= 400 else ""
    return f"{key} {shown(value)}" if name in _STATES and _FAILED.match(word) else ""


def _says_anything(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_says_anything, value.values() if isinstance(value, dict) else value))
    return value is not None and str(value).strip().lower() not in _NOTHING


@lru_cache(maxsize=4096)
def _plain(key: str) -> str:
    """A key without what spellings differ in: case, and the signs between words."""
    return re.sub(r"[^a-z0-9]", "", key.casefold())
