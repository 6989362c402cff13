"""Traffic by adapter, out of requests that were made: rates, lengths, burstiness, the day's phases, shared prefixes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from advisor.discovery.base_model import is_base
from advisor.discovery.discovery import Adapter, Discovery, Phase, Tokens, Traffic
from advisor.discovery.logs.request import Request
from advisor.discovery.logs.request_log import Log
from advisor.errors import InputError
from advisor.names import counted, few, listed

Floats = NDArray[np.float64]
Course = tuple[Floats, Floats]
"""Points in time, and how many requests had come by then."""

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
LONGEST_S = 3 * 366 * DAY_S
"""Nobody keeps a log for longer; where one spans more, some of its times count from 1970 and others do not."""
ENOUGH = 50
"""Requests of an adapter from which lengths of its own are told: their mean is then known to about a seventh."""
ENOUGH_GAPS = 100
"""Requests of an adapter from which the spread of its gaps is told: known to a tenth, then, where they are Poisson."""
ENOUGH_OF_ALL = 200
"""Requests of all adapters whose number is known to 7 %, so that a course is told from chance."""
POISSON = 0.2
"""A coefficient of variation this near to 1 is left at 1: with some hundred gaps, chance alone does that."""
PERCENTILES = (1, 10, 25, 50, 75, 90, 99)
ENOUGH_FOR_TAILS = 500
"""Requests from which the first and last percent are known."""
SILENT_S = 3 * DAY_S
"""Longer than a weekend without a request, and a log may have lost some."""
MOST_PHASES = 8
LIKE = 0.15
"""Hours of the day whose rates differ by less, as shares of the mean, make one phase."""
UNLIKELY = 4.0
"""Standard deviations of a Poisson count that the busiest hour of a log seldom is beyond by chance alone."""
LEAST_PREFIX = 16
"""Tokens: vLLM shares whole blocks of 16."""
_EXAMPLES = 20
"""Texts of an adapter from which a common beginning is taken for one that all have."""


def discover(log: Log, *, base_names: Collection[str], busiest_hour: bool = False) -> Discovery:
    """What a log tells.

    Args:
        log: the requests.
        base_names: names under which the base model is asked.
        busiest_hour: take the rates of the hour with the most requests, not of the whole log.

    Raises:
        InputError: all requests come at one time, so that no rate is known.
    """
    requests = sorted(log.requests, key=lambda each: each.time_s)
    times = np.array([each.time_s for each in requests])
    if times[-1] <= times[0]:
        raise InputError("the requests of the log all come at one time, so how often they come is not known")
    if times[-1] - times[0] > LONGEST_S:
        raise InputError(
            f"the requests of the log span {(times[-1] - times[0]) / DAY_S:,.0f} days: are all times of one kind, "
            "seconds or dates?"
        )
    notes = [f"{len(requests):,} requests in {_told_span(times[-1] - times[0])}", *_not_counted(log), *_silence(times)]
    begin, end = _busiest(times)
    peak = (np.searchsorted(times, end) - np.searchsorted(times, begin)) / (end - begin)
    mean = len(times) ** 2 / (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
    phases, beyond = tuple[Phase, ...](), None
    if busiest_hour:
        requests = requests[int(np.searchsorted(times, begin)) : int(np.searchsorted(times, end))]
        times, span_s = np.array([each.time_s for each in requests]), end - begin
        notes.append(f"rates are those of the busiest hour, {few(peak / mean)} times the mean of the log")
    else:
        # One mean gap after the last request, as for a replay.
        span_s = (times[-1] - times[0]) * len(times) / (len(times) - 1)
        phases = _phases(times) if log.clock else ()
        beyond = _beyond(peak, mean * max((each.scale for each in phases), default=1.0), end - begin)
        if peak > 1.5 * mean:
            notes.append(
                f"the busiest hour brings {few(peak / mean)} times the mean; rates of that hour alone can be asked for"
            )
    by_name = defaultdict[str, list[Request]](list)
    for each in requests:
        by_name["" if not each.name or is_base(each.name, base_names) else each.name].append(each)
    base = by_name.pop("", [])
    course = _course(times)
    adapters = {name: _traffic(of_it, span_s, course) for name, of_it in by_name.items()}
    lengths = Traffic(input=_tokens(requests, "input", 1), output=_tokens(requests, "output", 1))
    scarce = [name for name, each in adapters.items() if each.input is None or each.output is None]
    if scarce and lengths.input is not None:
        notes.append(
            f"fewer than {ENOUGH} requests with lengths of {listed(sorted(scarce))}: those of all stand for them"
        )
    if not base and base_names:
        notes.append("no request asks the base model")
    if lengths.input is None or lengths.output is None:
        notes.append("the log does not tell how long requests are")
    return Discovery(
        tuple(Adapter(name, traffic=adapters[name]) for name in sorted(adapters)),
        base=_traffic(base, span_s, course) if base else None,
        lengths=lengths,
        phases=phases,
        notes=tuple(notes),
        requests=len(requests),
        busiest_hour=beyond,
        complete=True,
    )


def _traffic(requests: Sequence[Request], span_s: float, course: Course) -> Traffic:
    return Traffic(
        len(requests),
        len(requests) / span_s,
        _tokens(requests, "input", ENOUGH),
        _tokens(requests, "output", ENOUGH),
        _cv(np.interp([each.time_s for each in requests], *course)),
        _prefix(requests),
    )


def _tokens(requests: Sequence[Request], kind: str, enough: int) -> Tokens | None:
    """Quantiles of the lengths, where so many requests tell them; of few, mean and spread."""
    told = np.array([tokens for each in requests if (tokens := getattr(each, kind)) is not None], dtype=np.float64)
    if len(told) < max(enough, 1):
        return None
    if len(told) < ENOUGH_FOR_TAILS:
        return {"mean": float(told.mean()), "std": float(told.std())}
    return {
        f"p{share}": float(tokens) for share, tokens in zip(PERCENTILES, np.percentile(told, PERCENTILES), strict=True)
    }


def _cv(times: Floats) -> float | None:
    gaps = np.diff(times)
    if len(gaps) < ENOUGH_GAPS or gaps.mean() <= 0:
        return None
    cv = float(gaps.std() / gaps.mean())
    return None if abs(cv - 1) < POISSON else min(max(cv, 0.01), 100.0)


def _course(times: Floats) -> Course:
    """Times, and what they would be had all requests come evenly: what comes and goes with the day is no burstiness.

    Hours, or longer where so few requests come that chance would look like a course.
    """
    spans = min((times[-1] - times[0]) // HOUR_S, len(times) // ENOUGH_OF_ALL)
    edges = np.linspace(times[0], times[-1], max(int(spans), 1) + 1)
    passed = np.searchsorted(times, edges, side="right").astype(np.float64)
    passed[0] = 0.0
    return edges, passed


def _busiest(times: Floats) -> tuple[float, float]:
    """Begin and end of the hour with the most requests; of a shorter log, of the whole."""
    if times[-1] - times[0] <= HOUR_S:
        return float(times[0]), float(np.nextafter(times[-1], np.inf))
    counts = np.searchsorted(times, times + HOUR_S) - np.arange(len(times))
    begin = float(times[int(np.argmax(counts))])
    if begin + HOUR_S <= times[-1]:
        return begin, begin + HOUR_S
    return float(times[-1] - HOUR_S), float(np.nextafter(times[-1], np.inf))


def _beyond(peak: float, known: float, span_s: float) -> float | None:
    """Times a known rate, what so many requests/s over that time are; None where they are alike but for chance."""
    count, usual = peak * span_s, known * span_s
    return peak / known if count > max((1 + LIKE) * usual, usual + UNLIKELY * usual**0.5) else None


def _phases(times: Floats) -> tuple[Phase, ...]:
    """The day's course, hour by hour and alike hours together, of a log of a day or more; empty where it is even.

    The first phase begins when the log does, as the twin's time does. A day's log has its first request somewhat after
    the day began and its last before it ended.
    """
    days = (times[-1] - times[0]) / DAY_S
    if days < 1 - HOUR_S / DAY_S:
        return ()
    hours = np.bincount(((times - times[0]) % DAY_S // HOUR_S).astype(np.int64), minlength=24)
    # The last day may be cut: each hour counts as often as it came, in part too, though no rate is of a few minutes.
    spans = days // 1 + np.clip(days % 1 * 24 - np.arange(24), 0, 1)
    spans = np.maximum(spans, 0.5)
    rates = hours / spans
    if rates.std() < 2 * np.sqrt(rates.mean() / spans.mean()):  # what chance alone does to even traffic, twice
        return ()
    scales, limit = rates / rates.mean(), LIKE
    while len(runs := _runs(scales, limit)) > MOST_PHASES:
        limit *= 1.25
    return tuple(Phase(HOUR_S * len(run), float(np.mean(run))) for run in runs) if len(runs) > 1 else ()


def _runs(scales: Floats, limit: float) -> list[list[float]]:
    """Hours that follow each other and are alike."""
    runs = [[float(scales[0])]]
    for scale in scales[1:]:
        if abs(scale - np.mean(runs[-1])) <= limit:
            runs[-1].append(float(scale))
        else:
            runs.append([float(scale)])
    return runs


def _prefix(requests: Sequence[Request]) -> int | None:
    """Tokens that all requests begin with, by the characters that their texts share."""
    told = [(each.text, each.input) for each in requests if each.text and each.input]
    if len(told) < _EXAMPLES:
        return None
    shared = len(
        os.path.commonprefix(  # noqa: RUF071  # of texts, not of paths
            [text for text, _ in told]
        )
    )
    a_character = sum(tokens for _, tokens in told) / sum(len(text) for text, _ in told)
    tokens = min(int(shared * a_character), *(tokens - 1 for _, tokens in told))
    return tokens if tokens >= LEAST_PREFIX else None


def _silence(times: Floats) -> Iterator[str]:
    """That a log tells nothing for so long that nobody may have logged."""
    gap, span = float(np.diff(times).max()), float(times[-1] - times[0])
    if gap >= SILENT_S or (len(times) >= _EXAMPLES and gap >= span / 2):
        yield f"no request for {_told_span(gap)} in between: if none was logged meanwhile, rates are too low"


def _not_counted(log: Log) -> Iterator[str]:
    """What is said of the records that are no requests of their own."""
    if log.skipped:
        yield f"{log.skipped:,} records tell no request and were passed over; the first: {log.first}"
    if log.failed:
        yield _failures(log.failed)
    if log.repeated:
        yield f"{counted(log.repeated, 'record')} tell of a request told before, by its id: they are not counted again"
    if log.cached:
        yield f"{counted(log.cached, 'request')} were answered from the gateway's cache, so no server was asked"


def _failures(failed: Mapping[str, int]) -> str:
    """What is said of requests that failed: they were no work, but may be demand."""
    how = sorted(failed, key=lambda each: (-failed[each], each))
    kinds = listed([f"{failed[each]:,} with {each}" for each in how], 3)
    return (
        f"{counted(sum(failed.values()), 'request')} failed and are not counted ({kinds}): what was refused for want "
        "of room comes beside this traffic once there is room"
    )


def _told_span(seconds: float) -> str:
    for unit, length in (("days", DAY_S), ("hours", HOUR_S), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
