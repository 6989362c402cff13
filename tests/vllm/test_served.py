"""A server launched as rendered: adapters loaded while it runs, requests beyond the limit refused, and measured.

Two minutes of `make test-vllm`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError

from advisor.deploy.write.render_context import Options
from advisor.zoo import pairs
from calibrate.dummy_model import TINY, write_model
from calibrate.live.server.adapters import Lora, read_decoder, write_adapters
from tests.advisor.deploy.write.rendered import text
from tests.advisor.small_zoo import NAME, build

VLLM = Path(os.environ["ADVISOR_TEST_VLLM"]).absolute()
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{VLLM.parent}{os.pathsep}{os.environ['PATH']}",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
FURTHER = ("--enforce-eager", "--load-format=dummy", "--max-model-len=1024", "--max-num-seqs=16", "--host=127.0.0.1")
START_S = 300


def test_a_server_as_rendered(tmp_path: Path) -> None:
    pair = pairs.named(NAME, build(tmp_path / "zoo"))
    model = write_model(tmp_path / "model", TINY)
    folders = write_adapters(tmp_path / "adapters", read_decoder(model), {f"a-{i}": Lora(8) for i in range(3)})
    sources: dict[str, str | None] = {f'it\'s "{i}" $(x)': str(folder) for i, folder in enumerate(folders.values())}
    options = Options(vllm="0.32", at_run_time=True, enforce=True)
    for name in ("serve", "load-adapters", "benchmark"):
        rendered = text(name, pair, list(sources), sources, options)[0].replace("example/Tiny-1B", str(model))
        (tmp_path / f"{name}.sh").write_text(rendered)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with started(tmp_path, url, f"--port={port}"):
        done = run(tmp_path, "load-adapters.sh", url)
        assert done.returncode == 0, done.stdout + done.stderr
        served = json.load(urllib.request.urlopen(f"{url}/v1/models"))
        assert {each["id"] for each in served["data"]} == {str(model), *sources}
        with ThreadPoolExecutor(32) as clients:
            answers = list(clients.map(lambda _: ask(url, next(iter(sources))), range(32)))
        assert set(answers) == {200, 503}
        done = run(tmp_path, "benchmark.sh", url, "--seed=1")
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        rows = [line.split(",")[0] for line in done.stdout.splitlines()[-4:-1]]
        assert rows == ["throughput", "mean ITL", "mean TTFT"]


def ask(url: str, adapter: str) -> int:
    """The status of the answer to a request of 200 tokens."""
    body = {"model": adapter, "prompt": [5, 6, 7], "max_tokens": 200, "ignore_eos": True}
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        return int(urllib.request.urlopen(request, timeout=120).status)
    except HTTPError as error:
        return error.code


def run(folder: Path, script: str, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**ENVIRONMENT, "BASE_URL": url, "DURATION": "20"}
    command = ["sh", str(folder / script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


@contextmanager
def started(folder: Path, url: str, *arguments: str) -> Iterator[None]:
    """A server that answers, until the end."""
    command = ["sh", str(folder / "serve.sh"), *FURTHER, *arguments]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + START_S
        while not healthy(url):
            assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()[-3000:]
            time.sleep(1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def healthy(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{url}/health", timeout=5).status == 200)
    except (URLError, OSError):
        return False
