"""The HTTP side of a vLLM server: single requests, one after the other, no load."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from calibrate.errors import CalibrationError

_opener = build_opener(ProxyHandler({}))  # a proxy knows no 127.0.0.1


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's address, without a path."""

    url: str

    def get(self, path: str, timeout: float = 10.0) -> str:
        """The answer's body.

        Raises:
            CalibrationError: no answer in time (seconds), or one that tells of an error.
        """
        return self._ask(Request(self.url + path), timeout)

    def post(self, path: str, body: dict[str, Any], timeout: float = 10.0) -> str:
        """The body of the answer to a JSON body.

        Raises:
            CalibrationError: no answer in time (seconds), or one that tells of an error.
        """
        headers = {"Content-Type": "application/json"}
        return self._ask(Request(self.url + path, json.dumps(body).encode(), headers), timeout)

    def _ask(self, request: Request, timeout: float) -> str:
        try:
            with _opener.open(request, timeout=timeout) as answer:
                return str(answer.read().decode(errors="replace"))
        except HTTPError as error:
            reason = " ".join(error.read().decode(errors="replace").split())
            raise CalibrationError(f"{request.full_url}: answered {error.code}: {reason or error.reason}") from error
        except (OSError, HTTPException) as error:
            raise CalibrationError(f"{request.full_url}: no answer: {getattr(error, 'reason', error)}") from error


def free_port() -> int:
    """A TCP port that nothing on this machine listens to now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
