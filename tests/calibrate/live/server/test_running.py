"""A server starts, tells of itself, and is gone with its processes however the block or this process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from calibrate.errors import CalibrationError
from calibrate.live.server import start
from calibrate.live.server.endpoint import Endpoint
from calibrate.live.server.running import RunningServer, attached, launched
from calibrate.live.server.settings import LaunchSettings
from calibrate.live.server.start import StartFailure

FAKE = '''#!{python}
"""Acts like `vllm serve`: its log, its questions and answers, an engine of its own, and one that left the group."""
import json, os, signal, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

mode = os.environ.get("FAKE", "")
port = int(next(a for a in sys.argv if a.startswith("--port=")).split("=")[1])
Path("{folder}/arguments").write_text(json.dumps(sys.argv[1:]))
Path("{folder}/environment").write_text(json.dumps(dict(os.environ)))
stubborn = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: 0); time.sleep(300)"
sleep = [sys.executable, "-S", "-c", stubborn]
children = [subprocess.Popen(sleep, start_new_session=apart) for apart in (False, True)]
Path("{folder}/processes").write_text(" ".join(str(p) for p in (os.getpid(), *(c.pid for c in children))))
say = lambda line: print(line, flush=True)
say("INFO 05-07 02:13:10 [api_server.py:1043] vLLM API server version 0.8.5")
if mode == "oom":
    say("ERROR 05-07 02:14:18 [core.py:396] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB.")
    say("RuntimeError: Engine core initialization failed. See root cause above.")
    sys.exit(1)
if mode == "broken":
    say("vllm serve: error: unrecognized arguments: --x")
    sys.exit(2)
if mode in ("hang", "oom-hang"):
    if mode == "oom-hang":
        say("ValueError: No available memory for the cache blocks.")
    signal.signal(signal.SIGTERM, lambda *_: 0)
    while True:
        time.sleep(1)
if mode != "silent":
    say("INFO 05-07 02:14:18 [kv_cache_utils.py:634] GPU KV cache size: 245,056 tokens")
loaded = set()

class Handler(BaseHTTPRequestHandler):
    def answer(self, body, status=200):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self):
        if self.path == "/die":
            say("RuntimeError: CUDA error: an illegal memory access was encountered")
            os._exit(1)
        self.answer({{
            "/health": "",
            "/version": json.dumps({{"version": "0.8.5"}}),
            "/v1/models": json.dumps({{"data": [{{"id": "a0", "parent": "base"}}, {{"id": "base", "parent": None}}]}}),
            "/metrics": 'vllm:cache_config_info{{block_size="16",num_gpu_blocks="100",sliding_window="None"}} 1.0\\n',
        }}[self.path])

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/load_lora_adapter" and Path(body["lora_path"]).exists():
            loaded.add(body["lora_name"])
            self.answer("Success")
        elif self.path == "/v1/unload_lora_adapter" and body["lora_name"] in loaded:
            self.answer("Success")
        else:
            self.answer('{{"message": "no such adapter"}}', 404)

HTTPServer(("127.0.0.1", port), Handler).serve_forever()
'''
HELPER = """
import signal, sys, time
from pathlib import Path
from calibrate.live.server.running import launched
from calibrate.live.server.settings import LaunchSettings
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
with launched("m", LaunchSettings(), log=Path(sys.argv[2]), vllm=sys.argv[1]) as server:
    print("ready", flush=True)
    time.sleep(60)
"""


class Fake:
    """A `vllm` command in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = str(folder / "vllm")
        self.log = folder / "logs" / "server.log"
        (folder / "vllm").write_text(FAKE.format(python=sys.executable, folder=folder))
        (folder / "vllm").chmod(0o755)

    def launched(self, mode: str = "", settings: LaunchSettings | None = None, **options: Any) -> Any:
        return launched(
            "base", settings or LaunchSettings(), log=self.log, vllm=self.command, environment={"FAKE": mode}, **options
        )

    def alive(self) -> list[int]:
        """The server's processes that still run."""
        return [pid for pid in map(int, (self.folder / "processes").read_text().split()) if _runs(pid)]

    def written(self, name: str) -> str:
        return (self.folder / name).read_text()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setattr(start, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(start, "GRACE_SECONDS", 0.3)
    one = Fake(tmp_path)
    yield one
    for pid in one.alive() if (tmp_path / "processes").exists() else []:
        os.kill(pid, signal.SIGKILL)


def test_it_starts_tells_of_itself_and_is_gone(fake: Fake) -> None:
    lines: list[str] = []
    with fake.launched(progress=lines.append) as server:
        assert (server.model, server.version, server.kv_capacity_tokens) == ("base", "0.8.5", 245_056)
        assert 0 < server.start_seconds < 10
        assert len(fake.alive()) == 3
    assert fake.alive() == []
    assert lines[0].startswith("vLLM starts, 0 s")


def test_its_command_and_variables(fake: Fake) -> None:
    settings = LaunchSettings(max_loras=8, max_num_seqs=64, enable_prefix_caching=False, extra=("--seed", "1"))
    with fake.launched(settings=settings, adapters={"a=0": fake.folder}):
        pass
    arguments, environment = fake.written("arguments"), fake.written("environment")
    for part in (
        '"serve", "base", "--host=127.0.0.1"',
        '"--enable-lora", "--max-loras=8"',
        '"--no-enable-prefix-caching"',
    ):
        assert part in arguments
    assert "max-cpu-loras" not in arguments
    assert r"\"name\": \"a=0\"" in arguments
    assert '"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"' in environment
    assert f'"PATH": "{fake.folder}:' in environment


def test_no_slots_are_no_lora() -> None:
    assert LaunchSettings(max_loras=0, max_model_len=4096).arguments() == ["--max-model-len=4096"]


def test_adapters_come_and_go(fake: Fake) -> None:
    with fake.launched() as server:
        assert 0 < server.load_adapter("a", fake.folder) < 5
        assert 0 < server.unload_adapter("a") < 5
        with pytest.raises(CalibrationError, match=r"answered 404: .*no such adapter"):
            server.load_adapter("b", fake.folder / "nowhere")


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_nothing(fake: Fake, error: type[BaseException]) -> None:
    with pytest.raises(error), fake.launched():
        raise error
    assert fake.alive() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_end_of_this_process_leaves_nothing(fake: Fake, number: signal.Signals) -> None:
    command = [sys.executable, "-c", HELPER, fake.command, str(fake.log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as helper:
        assert helper.stdout is not None
        assert helper.stdout.readline() == "ready\n"
        assert len(fake.alive()) == 3
        helper.send_signal(number)
    deadline = time.monotonic() + 60
    while fake.alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert fake.alive() == []


def test_a_lack_of_memory_is_a_result(fake: Fake) -> None:
    with pytest.raises(StartFailure) as raised, fake.launched("oom"):
        pytest.fail("it does not start")
    failure = raised.value
    assert (failure.kind, failure.version) == ("oom", "0.8.5")
    assert failure.message == "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB."
    assert 0 < failure.seconds < 60
    assert fake.alive() == []


def test_a_lack_of_memory_that_hangs_is_not_waited_for(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "DOOMED_SECONDS", 0.2)
    with pytest.raises(StartFailure, match="No available memory"), fake.launched("oom-hang"):
        pytest.fail("it does not start")
    assert fake.alive() == []


def test_another_failure_names_log_and_cause(fake: Fake) -> None:
    with pytest.raises(CalibrationError, match=r"server\.log: vLLM did not start \(status 2\): .*arguments: --x"):
        fake.launched("broken").__enter__()
    assert fake.alive() == []


def test_a_start_that_takes_too_long_is_ended(fake: Fake) -> None:
    with pytest.raises(CalibrationError, match=r"no answer within 0\.5 s"):
        fake.launched("hang", timeout=0.5).__enter__()
    assert fake.alive() == []


def test_a_server_that_ends_by_itself_is_told(fake: Fake) -> None:
    with pytest.raises(CalibrationError, match="ended by itself: RuntimeError: CUDA error"), fake.launched() as server:
        _die(server)
    assert fake.alive() == []


def _die(server: RunningServer) -> None:
    try:
        Endpoint(server.url).get("/die")
    finally:
        time.sleep(0.6)  # the supervisor looks five times a second


def test_no_such_command(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="nowhere/vllm: no such command"):
        launched("m", LaunchSettings(), log=tmp_path / "log", vllm="nowhere/vllm").__enter__()


def test_one_that_runs_is_met_and_left_running(fake: Fake) -> None:
    with fake.launched("silent") as server:
        with attached(f"{server.url}/") as other:
            assert (other.model, other.version) == ("base", "0.8.5")
            assert other.kv_capacity_tokens == 1600  # from /metrics: 100 blocks of 16
            assert other.start_seconds is None
        assert len(fake.alive()) == 3


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://192.0.2.1:8000", "not this machine"),
        ("ftp://127.0.0.1", "not the URL"),
        ("http://127.0.0.1:1", "no answer"),
    ],
)
def test_one_that_is_elsewhere_or_nowhere_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(CalibrationError, match=complaint):
        attached(url).__enter__()
