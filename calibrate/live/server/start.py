"""The start of a vLLM server: its command, the wait for its first answer, and the ways it can fail."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from calibrate.errors import CalibrationError
from calibrate.live.server import supervisor
from calibrate.live.server.endpoint import Endpoint, free_port
from calibrate.live.server.settings import LaunchSettings
from calibrate.live.server.start_log import StartLog

POLL_SECONDS = 0.5
GRACE_SECONDS = 10.0
"""What a server that is asked to end has before it is killed."""
DOOMED_SECONDS = 30.0
"""What a server that has reported a lack of memory has to end by itself; some versions hang."""
ENVIRONMENT = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_LOGGING_LEVEL": "INFO", "VLLM_NO_USAGE_STATS": "1"}
"""What a server needs to load adapters as it runs, and to tell the size of its KV cache."""


class StartFailure(CalibrationError):  # noqa: N818 - a result to note, not an error
    """A start that failed because of the settings.

    `oom`: the GPU's memory does not hold weights, slots and activations, or the KV cache no request of max_model_len.
    """

    def __init__(self, kind: Literal["oom"], message: str, *, seconds: float, version: str | None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        """vLLM's own line."""
        self.seconds = seconds
        """From the command to the failure."""
        self.version = version
        """vLLM's, if it came to say it."""


@dataclass(frozen=True, slots=True)
class StartingServer:
    """A server that was told to start on this machine; whoever holds this must end it."""

    endpoint: Endpoint
    keeper: subprocess.Popen[bytes]
    """The supervisor that runs the server."""
    path: Path
    """File of the server's output."""
    began: float
    """By the monotonic clock."""

    @property
    def log(self) -> StartLog:
        """What the server has written by now."""
        return StartLog(self.path.read_text(errors="replace"))

    @property
    def ended(self) -> bool:
        """Whether the server is gone."""
        return self.keeper.poll() is not None

    def wait(self, timeout: float, progress: Callable[[str], None]) -> float:
        """Wait for the first good `/health`; return the seconds since the command.

        Raises:
            StartFailure: the settings ask for more memory than there is.
            CalibrationError: the server ends for another reason, or does not answer within the timeout, seconds.
        """
        deadline = self.began + timeout
        while True:
            ended, log, now = self.ended, self.log, time.monotonic()
            if log.out_of_memory:
                deadline = min(deadline, now + DOOMED_SECONDS)
            if ended or now > deadline:
                if log.out_of_memory:
                    raise StartFailure("oom", log.out_of_memory, seconds=now - self.began, version=log.version)
                why = f"status {self.keeper.returncode}" if ended else f"no answer within {timeout:g} s"
                telling = log.telling_line or "it wrote nothing"
                raise CalibrationError(f"{self.path}: vLLM did not start ({why}): {telling}")
            with suppress(CalibrationError):
                self.endpoint.get("/health", timeout=2)
                return time.monotonic() - self.began
            progress(f"vLLM starts, {now - self.began:.0f} s: {log.last_line[:100]}")
            time.sleep(POLL_SECONDS)

    def end(self) -> None:
        """Have the supervisor end the server and all it started.

        Raises:
            CalibrationError: it cannot be ended.
        """
        self.keeper.terminate()
        try:
            self.keeper.wait(2 * GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            raise CalibrationError(
                f"{self.path}: the server does not end; see process {self.keeper.pid} and its children"
            ) from None


def start(
    model: str,
    settings: LaunchSettings,
    path: Path,
    *,
    vllm: str,
    adapters: Mapping[str, Path],
    environment: Mapping[str, str],
) -> StartingServer:
    """StartingServer `vllm serve` on a free port of 127.0.0.1, with its output in the file at `path`.

    Raises:
        CalibrationError: there is no such command, or the file cannot be written.
    """
    endpoint = Endpoint(f"http://127.0.0.1:{free_port()}")
    command = _command(vllm, model, endpoint, settings, adapters)
    variables = {**os.environ, **ENVIRONMENT, **environment}
    beside = str(Path(command[0]).parent)  # vLLM calls tools of its own environment, ninja for one
    variables["PATH"] = os.pathsep.join([beside, variables.get("PATH", os.defpath)])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        output = path.open("wb")
    except OSError as error:
        raise CalibrationError(f"{path}: cannot write the server's log: {error.strerror}") from error
    began = time.monotonic()
    with output:
        keeper = subprocess.Popen(
            [sys.executable, "-I", supervisor.__file__, str(os.getpid()), str(GRACE_SECONDS), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=variables,
            start_new_session=True,  # Ctrl-C is for this process to handle
        )
    return StartingServer(endpoint, keeper, path, began)


def _command(
    vllm: str, model: str, endpoint: Endpoint, settings: LaunchSettings, adapters: Mapping[str, Path]
) -> list[str]:
    found = shutil.which(vllm)
    if not found:
        raise CalibrationError(f"{vllm}: no such command; install vLLM, or say where its command is")
    host, port = endpoint.url.removeprefix("http://").split(":")
    modules = [json.dumps({"name": name, "path": str(folder.absolute())}) for name, folder in adapters.items()]
    return [
        str(Path(found).absolute()),
        *("serve", model, f"--host={host}", f"--port={port}"),
        *settings.arguments(),
        *(["--lora-modules", *modules] if modules else []),
    ]
