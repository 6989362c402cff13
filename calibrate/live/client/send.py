"""Sends traffic to a server (OpenAI's `/v1/completions`, streamed) and times the answers as vLLM's benchmark does."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import math
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp
import numpy as np

from calibrate.errors import CalibrationError
from calibrate.live.client.responses import Response, Responses
from calibrate.live.client.stream import Stream, message
from calibrate.live.client.traffic import Request, Traffic
from calibrate.live.server.address import server_url

MAX_DURATION_S = 24 * 3600.0
MAX_REQUESTS = 1_000_000
TOKEN_IDS = range(10, 128)
"""Ordinary tokens of every model, down to the tiny ones of tests."""
KEEP_ALIVE_S = 2.0
"""A connection idle for longer is not used again: vLLM closes it after 5 s, and a request may cross that."""
SPARE_FILES = 64
"""File descriptors left to everything but the requests."""


async def send(
    traffic: Traffic,
    url: str,
    *,
    model: str,
    duration_s: float,
    drain_s: float = 0.0,
    allow_remote: bool = False,
    max_requests: int = MAX_REQUESTS,
    token_ids: range = TOKEN_IDS,
    seed: int | None = None,
) -> Responses:
    """Send the traffic; returns when all is answered, at the latest after `duration_s + drain_s`.

    Args:
        traffic: what to send, and in which way.
        url: of the server, without a path.
        model: what the server calls the base model.
        duration_s: no request arrives after so many seconds.
        drain_s: so long after that, answers under way are awaited; then they are aborted.
        allow_remote: let the traffic leave this machine.
        max_requests: refuse more than so many.
        token_ids: prompts are drawn from these, so that no prompt begins like another one (prefix caching).
        seed: of the prompts; None draws others every time, which a server's prefix cache cannot know.

    Raises:
        CalibrationError: the traffic goes beyond the limits, or the first request to come back has failed (the server
            cannot be reached, or it answers with an error), or all have. Else failures are counted in the responses.
    """
    base = server_url(url, allow_remote=allow_remote)
    if not (duration_s > 0 and drain_s >= 0 and duration_s + drain_s <= MAX_DURATION_S):
        raise CalibrationError(f"duration {duration_s} s + {drain_s} s: more than 0 s and at most a day wanted")
    if len(traffic) > max_requests:
        raise CalibrationError(f"traffic: {len(traffic):,} requests; at most {max_requests:,} wanted")
    _allow_files(traffic.at_once)
    # aiohttp's own limits (100 connections, 300 s) would hold requests back
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        sender = _Sender(session, f"{base}/v1/completions", model, token_ids, np.random.default_rng(seed))
        try:
            async with asyncio.timeout(duration_s + drain_s):
                await (sender.open_loop if traffic.in_flight is None else sender.closed_loop)(traffic, duration_s)
        except TimeoutError:
            pass
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        responses = Responses(tuple(sorted(sender.responses, key=lambda one: one.sent_s)), sender.now())
    if responses.errors.total() == len(responses.responses) > 0:
        message, times = responses.errors.most_common(1)[0]
        raise CalibrationError(f"{base}: every request failed, {times} of {len(responses.responses)} so: {message}")
    return responses


@dataclass(slots=True)
class _Sender:
    session: aiohttp.ClientSession
    url: str
    model: str
    token_ids: range
    rng: np.random.Generator
    responses: list[Response] = field(default_factory=list)
    heard: bool = False
    """The server has sent a token; what fails from now on is counted."""
    started: float = field(default_factory=time.perf_counter)

    def now(self) -> float:
        return time.perf_counter() - self.started

    async def open_loop(self, traffic: Traffic, duration_s: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            for request in traffic:
                if request.at_s >= duration_s:
                    break
                body = self.body(request)  # before its time has come
                await asyncio.sleep(max(0.0, request.at_s - self.now()))
                tasks.create_task(self.ask(request, body, request.at_s))

    async def closed_loop(self, traffic: Traffic, duration_s: float) -> None:
        requests = iter(traffic)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(traffic.at_once):
                tasks.create_task(self.one_after_another(requests, duration_s))

    async def one_after_another(self, requests: Iterator[Request], duration_s: float) -> None:
        for request in requests:
            if self.now() >= duration_s:
                break
            await self.ask(request, self.body(request), math.nan)

    def body(self, request: Request) -> bytes:
        prompt = self.rng.integers(self.token_ids.start, self.token_ids.stop, size=request.prompt_tokens)
        completion = {
            "model": request.adapter or self.model,
            "prompt": prompt.tolist(),
            "max_tokens": request.answer_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return json.dumps(completion).encode()

    async def ask(self, request: Request, body: bytes, due_s: float) -> None:
        """Send one request and record its answer, also when it is cut short."""
        stream, error, sent_s = Stream(), None, self.now()
        try:
            headers = {"Content-Type": "application/json"}
            async with self.session.post(self.url, data=body, headers=headers, allow_redirects=False) as response:
                if response.status == 200:
                    async for part in response.content.iter_any():
                        stream.take(part, self.now())
                        self.heard = self.heard or bool(stream.tokens)
                    error = stream.complaint()
                else:
                    error = f"HTTP {response.status}: {message(await response.read())}"
        except (aiohttp.ClientError, OSError) as failure:
            error = _reason(failure)
        finally:
            self.responses.append(stream.response(request, due_s, sent_s, error))
        if error is not None and not self.heard:
            raise CalibrationError(f"{self.url}: {error}")


def _allow_files(requests: int) -> None:
    """Raise this process's limit of open files as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS allows less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and requests + SPARE_FILES > limit:
        raise CalibrationError(
            f"{requests:,} requests at once need as many connections, and this process may open {limit:,} files; "
            f"send fewer at once or raise the limit (ulimit -Hn)"
        )


def _reason(failure: Exception) -> str:
    if isinstance(failure, OSError) and failure.errno in (errno.EMFILE, errno.EADDRNOTAVAIL):
        return "too many connections for this machine: out of open files (ulimit -n) or of ports"
    return " ".join(str(failure).split()) or type(failure).__name__
