"""Reads a server's metrics every second while traffic runs."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

import numpy as np

from calibrate.errors import CalibrationError
from calibrate.live.server.address import server_url
from calibrate.live.server.metrics import KV_USAGE, PREEMPTIONS, RUNNING, WAITING, Scrape, scrape

EVERY_S = 1.0
SAMPLED = (*RUNNING, *WAITING, *KV_USAGE, *PREEMPTIONS)


class Sampler:
    """Samples at every tick between entering and leaving `async with`; not at the end, when traffic may be cut off.

    Entering raises CalibrationError where the server cannot be read. A later scrape that fails is left out and counted
    in `missed`; a tick that passes while the server takes its time is left out, too.
    """

    _before: Scrape
    _task: asyncio.Task[None]

    def __init__(self, url: str, *, every_s: float = EVERY_S, allow_remote: bool = False) -> None:
        self._url = server_url(url, allow_remote=allow_remote)
        self._every_s = every_s
        self._allow_remote = allow_remote
        self.samples: list[Scrape] = []
        """The metrics in SAMPLED, counted since entering."""
        self.missed = 0
        """Scrapes that failed."""

    async def __aenter__(self) -> Sampler:
        self._before = await self._scrape()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        started = time.perf_counter()
        while True:
            await asyncio.sleep(self._every_s - (time.perf_counter() - started) % self._every_s)
            try:
                self.samples.append((await self._scrape()).since(self._before))
            except CalibrationError:
                self.missed += 1

    async def _scrape(self) -> Scrape:
        return await scrape(self._url, only=SAMPLED, allow_remote=self._allow_remote)

    def summary(self) -> dict[str, float]:
        """In the columns of the measurement tables: means over samples; the second half is that of the time sampled.

        `num_preempted` counts from entering on, and its mean is that of the growing count.

        Raises:
            CalibrationError: there is no sample, or it lacks one of the metrics.
        """
        if not self.samples:
            raise CalibrationError(
                f"{self._url}: no sample of /metrics; {self.missed} failed, one every {self._every_s} s"
            )
        at = np.array([one.at_s for one in self.samples])
        running = np.array([one.gauge(*RUNNING) for one in self.samples])
        waiting = np.array([one.gauge(*WAITING) for one in self.samples])
        usage = np.array([one.gauge(*KV_USAGE) for one in self.samples])
        preempted = np.array([one.counter(*PREEMPTIONS) for one in self.samples])
        late = at >= (at[0] + at[-1]) / 2
        return {
            "num_running_mean": float(running.mean()),
            "num_running_max": float(running.max()),
            "num_waiting_mean": float(waiting.mean()),
            "num_waiting_max": float(waiting.max()),
            "num_waiting_2nd_half_mean": float(waiting[late].mean()),
            "num_waiting_end": float(waiting[-1]),
            "gpu_cache_usage_perc_mean": float(usage.mean()),
            "gpu_cache_usage_perc_max": float(usage.max()),
            "num_preempted_mean": float(preempted.mean()),
            "num_preempted_max": float(preempted.max()),
        }
