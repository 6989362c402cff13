"""Times as logs write them, as seconds."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

EPOCH_MS = 1e11
"""Above it a number of seconds since 1970 would be in the year 5138: it is in ms."""
_UNITS = {"ms": 1e-3, "millis": 1e-3, "us": 1e-6, "ns": 1e-9, "nanos": 1e-9}
_ZONE = re.compile(r"\s*(?:UTC|GMT|Z)$")
_LONGEST = 64
"""Characters of a date in any spelling."""
_FORMATS = ("%d/%b/%Y:%H:%M:%S %z", "%a %b %d %H:%M:%S %Y", "%Y/%m/%d %H:%M:%S.%f", "%Y/%m/%d %H:%M:%S")
"""Of web servers, of C, and of Go."""


def seconds(value: Any, key: str = "") -> float:
    """Seconds since 1970, or since a log's own beginning.

    Args:
        value: a number of seconds, ms, µs or ns, or a date; without a zone it is taken as UTC.
        key: its name without signs; one that ends in a unit, such as `timestampms`, says it.

    Raises:
        ValueError: it is no time.
    """
    if isinstance(value, bool):
        raise ValueError(f"{value} is no time")
    try:
        number = float(value)
    except (TypeError, ValueError):
        return _date(str(value).strip())
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{value} is no time")
    if unit := next((unit for word, unit in _UNITS.items() if key.endswith(word)), None):
        return number * unit
    while number > EPOCH_MS:  # ms, µs or ns
        number /= 1e3
    return number


def _date(text: str) -> float:
    if len(text) > _LONGEST:
        raise ValueError(f"{text[:20]!r}... is no time")
    moment = _parsed(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        reason = error
    plain = text.strip("[]")
    try:
        return datetime.fromisoformat(_ZONE.sub("", plain))
    except ValueError:
        pass
    for form in _FORMATS:
        try:
            return datetime.strptime(plain, form)  # its zone is looked at by the caller
        except ValueError:
            continue
    try:
        return parsedate_to_datetime(plain)
    except (ValueError, TypeError, IndexError):
        raise reason from None
