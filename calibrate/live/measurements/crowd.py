"""What requests cost that are not served: steps of one batch alone, while others arrive, and while they wait.

The batch holds every slot, so that requests for other adapters are passed over in every step; they are as many as the
heaviest traffic of the plan brings. The server itself counts its steps, for from a busy one several tokens reach the
client as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from calibrate.errors import CalibrationError
from calibrate.live.client.responses import Responses
from calibrate.live.client.send import send
from calibrate.live.client.traffic import Request, Traffic
from calibrate.live.measurements.plan import CROWD_PHASES, IDLE_PROMPT, STEADY_ANSWER, Crowd
from calibrate.live.server.metrics import RUNNING, STEP_TOKENS, WAITING, Scrape, scrape
from calibrate.live.server.running import RunningServer
from twin.lengths import Moments

SEEN = (*STEP_TOKENS, *RUNNING, *WAITING)
LIMIT_PHASES = 10.0
"""After so many phases the crowd goes by itself."""
ROUNDS = 100
"""Of the batch: more than it comes to."""


@dataclass(frozen=True, slots=True)
class Crowded:
    """A server whose slots are all in use while others ask for adapters that have none."""

    server: RunningServer
    inside: Sequence[str]
    """Adapters, one a slot."""
    outside: Sequence[str]
    """Further adapters."""
    allow_remote: bool

    async def measure(self, crowd: Crowd, rate: float, lengths: Moments) -> dict[str, float | str]:
        """The row of crowd.csv (`calibrate.fit.tables`) for so many requests/s of others.

        Raises:
            CalibrationError: the server fails, or takes no step in a phase.
        """
        steady = [
            asyncio.create_task(self._send(_steady(name, crowd.per_adapter), CROWD_PHASES * crowd.seconds))
            for name in self.inside
        ]
        await asyncio.sleep(0.5 * crowd.seconds)
        before_ms = await self._step_ms(crowd.seconds)
        others = _evenly(rate, crowd.seconds, lengths, self.outside)
        row = await self._while_there(others, crowd.seconds)
        await asyncio.sleep(0.5 * crowd.seconds)
        after_ms = await self._step_ms(crowd.seconds)
        await asyncio.gather(*steady)
        return row | {"quiet_ms": mean((before_ms, after_ms)), "arrivals_s": len(others) / crowd.seconds}

    async def _while_there(self, others: Traffic, seconds: float) -> dict[str, float | str]:
        sent = asyncio.create_task(self._send(others, LIMIT_PHASES * seconds))
        try:
            arriving_ms, come = await self._step_ms(seconds), await self._look()
            await asyncio.sleep(0.25 * seconds)
            waiting_ms, there = await self._step_ms(seconds), await self._look()
        finally:
            sent.cancel()
            await asyncio.wait([sent])
        if not sent.cancelled():
            sent.result()  # the server has failed, or is none that makes adapters wait
        return {
            "running": there.gauge(*RUNNING),
            "arriving_ms": arriving_ms,
            "arriving_waiting": come.gauge(*WAITING) / 2,
            "waiting_ms": waiting_ms,
            "waiting": there.gauge(*WAITING),
        }

    async def _step_ms(self, seconds: float) -> float:
        """The mean step of so many seconds."""
        before = await self._look()
        await asyncio.sleep(seconds)
        passed = (await self._look()).since(before)
        steps, _ = passed.histogram(*STEP_TOKENS)
        if not steps:
            raise CalibrationError(f"{self.server.url}: no step in {seconds:g} s")
        return 1e3 * passed.at_s / steps

    async def _look(self) -> Scrape:
        return await scrape(self.server.url, only=SEEN, allow_remote=self.allow_remote)

    async def _send(self, traffic: Traffic, duration_s: float) -> Responses:
        return await send(
            traffic, self.server.url, model=self.server.model, duration_s=duration_s, allow_remote=self.allow_remote
        )


def _steady(adapter: str, at_once: int) -> Traffic:
    """So many requests at a time without an end; the first ones shorter, so that never all are over together."""
    answers = [STEADY_ANSWER * (i + 1) // at_once for i in range(at_once)] + [STEADY_ANSWER] * ROUNDS * at_once
    return Traffic(tuple(Request(0.0, adapter, IDLE_PROMPT, answer) for answer in answers), in_flight=at_once)


def _evenly(rate: float, seconds: float, lengths: Moments, adapters: Sequence[str]) -> Traffic:
    prompt, answer = round(lengths.input_mean), round(lengths.output_mean)
    count = max(round(rate * seconds), 1)
    return Traffic(
        tuple(Request(i * seconds / count, adapters[i % len(adapters)], prompt, answer) for i in range(count))
    )
