"""How much traffic the client itself bears on this machine, before it measures itself instead of the server.

A process of its own plays a server that costs next to nothing: every `STEP_S` it writes one token to every request
under way, as an engine does. What the client should measure is known beforehand: ITL is the step.

On two cores shared with that server it sustained 20,000 tokens/s (400 answers/s) with 1 % of the requests sent more
than 9 ms late, and 2,000 requests/s of two tokens; at 40,000 tokens/s it still reads everything, up to two steps late.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import multiprocessing
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
from rich.table import Table

from calibrate.errors import CalibrationError
from calibrate.live.client.responses import Response
from calibrate.live.client.send import send
from calibrate.live.client.traffic import Request, Traffic

STEP_S = 0.02
ITL_WITHIN = 0.05
"""Of the step: how far the mean ITL may be off for a load that counts as sustained."""
LAG_WITHIN_MS = 20.0
"""So late at most 1 % of the requests may be sent: one step."""
START_S = 30.0
"""Longest wait for the server."""

CHUNK = (
    b'data: {"id":"cmpl-1","object":"text_completion","created":1,"model":"none","choices":[{"index":0,"text":" a",'
    b'"logprobs":null,"finish_reason":null,"stop_reason":null}],"usage":null}\n\n'
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Verified:
    """What the client did under one load."""

    sends_s: float
    """Requests sent per second."""
    tokens_s: float
    """Streamed tokens read per second, each a chunk of its own."""
    lag_p99_ms: float
    """Sent so much later than planned."""
    itl_mean_ms: float
    itl_p99_ms: float
    completed: bool
    """Every request was answered to its end."""

    @property
    def sustained(self) -> bool:
        """The client kept up: what it measured is what the server did."""
        right = abs(self.itl_mean_ms / (1e3 * STEP_S) - 1) <= ITL_WITHIN
        return self.completed and right and self.lag_p99_ms <= LAG_WITHIN_MS


async def verify(
    tokens_s: float, *, answer_tokens: int = 50, prompt_tokens: int = 200, seconds: float = 2.0
) -> Verified:
    """Send evenly spaced requests whose answers make `tokens_s` tokens per second, for `seconds` after a warm-up.

    Raises:
        CalibrationError: the server of this measurement did not start, or the client failed altogether.
    """
    warm_s, gap_s = answer_tokens * STEP_S, answer_tokens / tokens_s
    until_s = warm_s + seconds
    planned = [Request(i * gap_s, None, prompt_tokens, answer_tokens) for i in range(math.ceil(until_s / gap_s))]
    async with _paced_server() as url:
        responses = await send(Traffic(tuple(planned)), url, model="none", duration_s=until_s, drain_s=2 + 5 * warm_s)
    found = responses.summary()
    sent = np.array([one.sent_s for one in responses.responses])
    read = np.concatenate([_chunks_s(one) for one in responses.responses])
    return Verified(
        sends_s=float(((sent >= warm_s) & (sent < until_s)).sum()) / seconds,
        tokens_s=float(((read >= warm_s) & (read < until_s)).sum()) / seconds,
        lag_p99_ms=found["lag_p99_ms"],
        itl_mean_ms=found["itl_mean_ms"],
        itl_p99_ms=found["itl_p99_ms"],
        completed=found["completed"] == len(planned),
    )


def table(found: Sequence[Verified]) -> Table:
    """What the client did, one row per load."""
    shown = Table(title=f"the client alone, ITL {1e3 * STEP_S:g} ms by construction", title_justify="left")
    for name in ("tokens/s read", "requests/s sent", "lag P99, ms", "ITL, ms", "ITL P99, ms", "kept up"):
        shown.add_column(name, justify="right")
    for one in found:
        figures = (one.lag_p99_ms, one.itl_mean_ms, one.itl_p99_ms)
        times = (f"{value:.1f}" for value in figures)
        shown.add_row(f"{one.tokens_s:,.0f}", f"{one.sends_s:,.0f}", *times, "yes" if one.sustained else "no")
    return shown


def _chunks_s(answer: Response) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """When each chunk came."""
    if math.isnan(answer.first_s):
        return np.empty(0)
    return answer.first_s + np.concatenate([[0.0], np.cumsum(answer.gaps_s, dtype=np.float64)])


@asynccontextmanager
async def _paced_server() -> AsyncIterator[str]:
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        if not await asyncio.to_thread(here.poll, START_S):
            raise CalibrationError(f"the server that the client is tried on did not start within {START_S:g} s")
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        await asyncio.to_thread(process.join)


def _serve(port: Connection) -> None:
    asyncio.run(_Server().run(port))


class _Server:
    """Just enough HTTP: reads a request, then a token every step, then the end."""

    def __init__(self) -> None:
        self.left: dict[asyncio.StreamWriter, int] = {}
        """Tokens still to be written."""

    async def run(self, port: Connection) -> None:
        server = await asyncio.start_server(self.connection, "127.0.0.1", 0, backlog=4096)
        port.send(server.sockets[0].getsockname()[1])
        token, end = _framed(CHUNK), _framed(CHUNK) + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
        due = time.perf_counter()
        while True:
            due += STEP_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            for writer in list(self.left):
                self.left[writer] -= 1
                writer.write(token if self.left[writer] else end)
                if not self.left[writer]:
                    del self.left[writer]

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                writer.write(HEAD)
                self.left[writer] = json.loads(body)["max_tokens"]
        self.left.pop(writer, None)


def _framed(content: bytes) -> bytes:
    """As one chunk of HTTP's chunked encoding."""
    return b"%x\r\n%s\r\n" % (len(content), content)
