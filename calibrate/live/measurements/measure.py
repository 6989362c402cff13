"""Take one measurement of the plan on a running server; the answer is one row of figures."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np

from calibrate.errors import CalibrationError
from calibrate.live.client.responses import Responses
from calibrate.live.client.send import send
from calibrate.live.client.traffic import Request, Traffic, full_batch, open_loop
from calibrate.live.measurements.crowd import Crowded
from calibrate.live.measurements.plan import (
    IDLE_ANSWER,
    IDLE_COUNT,
    IDLE_PROMPT,
    WAVES,
    Crowd,
    FullBatch,
    Hours,
    Idle,
    Loads,
    Measurement,
    Scale,
)
from calibrate.live.server.running import RunningServer
from calibrate.live.server.sampler import Sampler
from twin.workload import Workload, draw

LIMIT_S = 600.0
"""A measurement that is not done by then is cut off."""
LEAST_MS = 0.01
"""A load is not measured to take less: it is lost in the noise of two requests."""

Row = dict[str, float | str]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a measurement came to."""

    row: Row
    """In the columns of the tables."""
    responses: Responses | None = None
    """What it was made of, unless it was several requests in turn."""


@dataclass(frozen=True, slots=True)
class Site:
    """A server and the adapters it knows."""

    server: RunningServer
    max_loras: int
    rank: int
    """Of the adapters in use."""
    adapters: Sequence[str]
    """Names that are loaded."""
    scale: Scale | None = None
    """Lengths of the Poisson traffic; without it there can be none."""
    allow_remote: bool = False


def measure(measurement: Measurement, site: Site, *, capacity_tok_s: float, folders: Mapping[str, Path]) -> Measured:
    """Take one measurement.

    Args:
        measurement: what to do.
        site: where.
        capacity_tok_s: output tokens/s of the fullest batch, which Poisson traffic takes its rates from.
        folders: of adapters that are not loaded, for `Loads`.

    Raises:
        CalibrationError: the server or the measurement fails.
    """
    match measurement:
        case Idle():
            return _sent(full_batch(IDLE_COUNT, IDLE_PROMPT, IDLE_ANSWER, adapters=_names(site, 1), in_flight=1), site)
        case FullBatch():
            traffic = full_batch(
                WAVES * measurement.batch,
                measurement.prompt_tokens,
                measurement.answer_tokens,
                adapters=_names(site, measurement.adapters),
                in_flight=measurement.batch,
            )
            return _sent(traffic, site)
        case Loads():
            return Measured(_loads(measurement, site, folders))
        case Crowd():
            return _crowd(measurement, site, capacity_tok_s)
        case Hours():
            return _hours(measurement, site, capacity_tok_s)


def _names(site: Site, count: int) -> Sequence[str | None]:
    """So many adapters, or the bare model."""
    return list(site.adapters[:count]) or [None]


def _sent(traffic: Traffic, site: Site, duration_s: float = LIMIT_S) -> Measured:
    async def both() -> tuple[Responses, dict[str, float]]:
        every_s = min(1.0, duration_s / 10)
        async with Sampler(site.server.url, every_s=every_s, allow_remote=site.allow_remote) as sampler:
            responses = await send(
                traffic,
                site.server.url,
                model=site.server.model,
                duration_s=duration_s,
                allow_remote=site.allow_remote,
            )
        return responses, sampler.summary() if sampler.samples else {}  # over before the first

    responses, state = asyncio.run(both())
    return Measured({**responses.summary(), **state}, responses)


def _one_by_one(site: Site, names: Sequence[str]) -> list[float]:
    """TTFT in ms of requests that are sent one after the other."""
    traffic = Traffic(tuple(Request(0.0, name, IDLE_PROMPT, 2) for name in names), in_flight=1)
    responses = asyncio.run(
        send(traffic, site.server.url, model=site.server.model, duration_s=LIMIT_S, allow_remote=site.allow_remote)
    )
    return [1e3 * one.ttft_s for one in responses.completed]


def _loads(measurement: Loads, site: Site, folders: Mapping[str, Path]) -> Row:
    """Swapping: the TTFT of an adapter that has lost its slot, less that of one that has one.

    From disk: loading by request brings an adapter into host memory and into a slot; the latter is taken off.
    """
    names = list(folders)
    if len(names) < measurement.count:
        raise CalibrationError(f"{measurement.key}: {measurement.count} adapters wanted, there are {len(names)}")
    loaded_ms = [1e3 * site.server.load_adapter(name, folders[name]) for name in names]
    try:
        _one_by_one(site, names)
        swapped = _one_by_one(site, names)
        resident = _one_by_one(site, names[-1:] * len(names))
    finally:
        for name in names:
            site.server.unload_adapter(name)
    memory_ms = max(median(swapped) - median(resident), LEAST_MS)
    return {
        "ranks": measurement.rank,
        "memory_load_ms_mean": memory_ms,
        "disk_load_ms_mean": max(median(loaded_ms) - memory_ms, LEAST_MS),
        "load_ms_mean": mean(loaded_ms),
        "loads": len(names),
    }


def workload(measurement: Hours, scale: Scale, rank: int, rate: float) -> Workload:
    """The traffic of `measurement` at `rate` requests/s in all: three classes of adapters, at 2, 1 and 1/2."""
    shares = np.resize([2.0, 1.0, 0.5], measurement.adapters)
    return Workload.alike(
        rate * shares / shares.sum(),
        rank=rank,
        **scale.lengths._asdict(),
    )


def _scale(measurement: Measurement, site: Site) -> Scale:
    if site.scale is None:
        raise CalibrationError(f"{measurement.key}: no lengths are known to draw requests of")
    return site.scale


def _crowd(measurement: Crowd, site: Site, capacity_tok_s: float) -> Measured:
    scale = _scale(measurement, site)
    inside, outside = site.adapters[: site.max_loras], site.adapters[site.max_loras :]
    rate = max(scale.served_shares) * capacity_tok_s / scale.lengths.output_mean
    crowded = Crowded(site.server, inside, outside, site.allow_remote)
    return Measured(asyncio.run(crowded.measure(measurement, rate, scale.lengths)))


def _hours(measurement: Hours, site: Site, capacity_tok_s: float) -> Measured:
    scale = _scale(measurement, site)
    rate = measurement.share * capacity_tok_s / scale.lengths.output_mean
    traffic = workload(measurement, scale, site.rank, rate)
    drawn = draw(traffic, measurement.seconds, measurement.seed)
    sent = _sent(open_loop(drawn, list(site.adapters)), site, measurement.seconds)
    if "num_running_mean" not in sent.row:
        raise CalibrationError(f"{site.server.url}/metrics: no sample of the running requests; is it switched off?")
    rates, counts = np.unique(traffic.rate, return_counts=True)
    row: Row = {
        **sent.row,
        "served_adapters": measurement.adapters,
        "adapter_slots": site.max_loras,
        "rates": " ".join(f"{value:.9g}" for value in rates),
        "rate_counts": " ".join(map(str, counts)),
        "ranks": str(site.rank),
        "drawn_mean_input": float(drawn.input.mean()),
        "drawn_mean_output": float(drawn.output.mean()),
        "drawn_std_input": float(drawn.input.std()),
        "drawn_std_output": float(drawn.output.std()),
        "drawn_correlation": scale.lengths.correlation,
        "idle_samples": 0.0,
    }
    return Measured(row, sent.responses)
