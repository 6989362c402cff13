"""One streamed completion: server-sent events in, the times of its tokens out."""

from __future__ import annotations

import contextlib
import json
import math
from array import array
from dataclasses import dataclass, field

from calibrate.live.client.responses import Response
from calibrate.live.client.traffic import Request

TOKEN = b'"choices":[{'
"""In every chunk with a token as vLLM writes it, whatever its text; inside a text the quotes would be escaped."""
MESSAGE = 300
"""Characters of a server's complaint that are kept."""


@dataclass(slots=True)
class Stream:
    """Reads server-sent events; JSON is decoded only where a chunk holds no token."""

    first_s: float = math.nan
    last_s: float = math.nan
    gaps_s: array[float] = field(default_factory=lambda: array("f"))
    tokens: int = 0
    usage: dict[str, int] | None = None
    done: bool = False
    error: str | None = None
    rest: bytes = b""

    def take(self, part: bytes, now_s: float) -> None:
        """Read what has just come, which may end anywhere."""
        lines = (self.rest + part).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            if TOKEN in line:
                self.token(now_s)
            elif line.startswith(b"data:"):
                self.other(line[5:].strip(), now_s)

    def token(self, now_s: float) -> None:
        """A chunk with a token, or with several that the server has merged."""
        if self.tokens:
            self.gaps_s.append(now_s - self.last_s)
        else:
            self.first_s = now_s
        self.last_s = now_s
        self.tokens += 1

    def other(self, data: bytes, now_s: float) -> None:
        """The end, the usage, an error; or a token of a server that writes JSON in another way than vLLM."""
        if data == b"[DONE]":
            self.done = True
            return
        try:
            chunk = dict(json.loads(data))
        except (ValueError, TypeError, RecursionError):
            self.error = f"not a chunk of a completion: {message(data)}"
            return
        if chunk.get("error") or chunk.get("object") == "error":
            self.error = message(data)
        elif chunk.get("choices"):
            self.token(now_s)
        elif chunk.get("usage"):
            self.usage = chunk["usage"]

    def complaint(self) -> str | None:
        """What is wrong with a stream that has ended."""
        if self.error is None and not (self.done and self.tokens):
            return "the stream ended early" if self.tokens else "the stream holds no token"
        return self.error

    def response(self, request: Request, due_s: float, sent_s: float, error: str | None) -> Response:
        """What was read so far, as the answer to a request."""
        usage = self.usage or {}
        return Response(
            request=request,
            due_s=due_s,
            sent_s=sent_s,
            first_s=self.first_s,
            last_s=self.last_s,
            gaps_s=self.gaps_s,
            input_tokens=usage.get("prompt_tokens", request.prompt_tokens),
            output_tokens=usage.get("completion_tokens", self.tokens),
            completed=self.done and error is None,
            error=error,
        )


def message(body: bytes) -> str:
    """The complaint in an error response of vLLM, of any version, in one line."""
    text = body.decode(errors="replace")
    with contextlib.suppress(ValueError, AttributeError, RecursionError):
        found = json.loads(text)
        inner = found.get("error", found)
        text = inner.get("message") or found.get("detail") or text
    return " ".join(str(text).split())[:MESSAGE]
