"""A vLLM server to measure: one that is started and surely ended here, or one that already runs.

    with launched("/models/llama", LaunchSettings(max_loras=8), log=Path("server.log")) as server: ...
    with attached("http://127.0.0.1:8000") as server: ...

A started server listens on 127.0.0.1 only. `supervisor` runs it and ends it with everything it started: after the
block, an exception, Ctrl-C, and when this process is terminated or killed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from calibrate.errors import CalibrationError
from calibrate.live.server.address import server_url
from calibrate.live.server.endpoint import Endpoint
from calibrate.live.server.metrics import CACHE_CONFIG, Scrape
from calibrate.live.server.settings import LaunchSettings
from calibrate.live.server.start import start

START_SECONDS = 1800.0
"""Compiling and capturing graphs takes minutes, loading weights from a slow disk more."""
LOAD_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A running vLLM server."""

    url: str
    model: str
    """What requests call the model without an adapter."""
    adapters: tuple[str, ...]
    """What they call the adapters it served when it was met."""
    version: str
    """vLLM's."""
    kv_capacity_tokens: int
    """As the server reports it: with the one block that requests cannot have."""
    start_seconds: float | None = None
    """From the command to the first good `/health`, static adapters included; None if it ran before."""
    log: Path | None = None

    def load_adapter(self, name: str, folder: Path) -> float:
        """Load an adapter from a folder that the server sees; return the seconds it took.

        Raises:
            CalibrationError: the server refuses it; it needs VLLM_ALLOW_RUNTIME_LORA_UPDATING=True.
        """
        return self._timed("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder.absolute())})

    def unload_adapter(self, name: str) -> float:
        """Forget an adapter; return the seconds it took.

        Raises:
            CalibrationError: the server refuses, or does not know it.
        """
        return self._timed("/v1/unload_lora_adapter", {"lora_name": name})

    def _timed(self, path: str, body: dict[str, str]) -> float:
        began = time.perf_counter()
        Endpoint(self.url).post(path, body, LOAD_SECONDS)
        return time.perf_counter() - began


@contextmanager
def attached(url: str, *, allow_remote: bool = False) -> Iterator[RunningServer]:
    """A server that runs already and goes on running.

    Raises:
        CalibrationError: nothing answers, or not on this machine and remote ones are not allowed.
    """
    endpoint = Endpoint(server_url(url, allow_remote=allow_remote))
    endpoint.get("/health")
    yield _meet(endpoint)


@contextmanager
def launched(
    model: str,
    settings: LaunchSettings,
    *,
    log: Path,
    vllm: str = "vllm",
    adapters: Mapping[str, Path] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float = START_SECONDS,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[RunningServer]:
    """Start `vllm serve`, wait until it answers, and end it with the block.

    Args:
        model: a folder or a Hugging Face id.
        settings: the server's flags.
        log: file that gets the server's output.
        vllm: the command, which may live in another environment than this.
        adapters: name -> folder, loaded at start.
        environment: further variables of the server.
        timeout: seconds that the start may take.
        progress: called about twice a second with a line on how the start is going.

    Raises:
        StartFailure: the settings ask for more memory than there is.
        CalibrationError: the server does not start for another reason, or ends by itself within the block.
    """
    starting = start(model, settings, log, vllm=vllm, adapters=adapters or {}, environment=environment or {})
    try:
        seconds = starting.wait(timeout, progress)
        server = _meet(starting.endpoint, starting.log.kv_capacity_tokens, seconds, log)
        try:
            yield server
        except Exception as error:
            if starting.ended:
                raise CalibrationError(f"{log}: the server ended by itself: {starting.log.telling_line}") from error
            raise
    finally:
        starting.end()


def _meet(
    endpoint: Endpoint, capacity: int | None = None, start_seconds: float | None = None, log: Path | None = None
) -> RunningServer:
    """What a server that answers says of itself."""
    try:
        models = json.loads(endpoint.get("/v1/models"))["data"]
        model = next(str(one["id"]) for one in models if not one.get("parent"))
        adapters = tuple(str(one["id"]) for one in models if one.get("parent"))
        version = str(json.loads(endpoint.get("/version"))["version"])
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError) as error:
        if isinstance(error, CalibrationError):
            raise
        raise CalibrationError(f"{endpoint.url}: /v1/models and /version answer otherwise than vLLM's") from error
    capacity = capacity or Scrape.parse(endpoint.get("/metrics"), only=[CACHE_CONFIG]).kv_capacity_tokens
    return RunningServer(endpoint.url, model, adapters, version, capacity, start_seconds, log)
