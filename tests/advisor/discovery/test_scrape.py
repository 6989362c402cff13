"""Pages over HTTP, and answers of what calls itself Prometheus."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from advisor.discovery.pages.scrape import over, read
from advisor.errors import InputError

PAGE = b'inference_model_request_total{target_model_name="a"} 30\n'
Serve = Callable[[Callable[[str], bytes]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers = list[ThreadingHTTPServer]()

    def start(answer: Callable[[str], bytes]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer(self.path))

            def log_message(self, *_: Any) -> None:
                pass

        servers.append(server := ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for each in servers:
        each.shutdown()
        each.server_close()


@pytest.mark.parametrize("data", [PAGE, gzip.compress(PAGE, mtime=0), b"\xef\xbb\xbf" + PAGE])
def test_a_page_is_read_also_where_a_server_packs_it_unasked(data: bytes, serve: Serve) -> None:
    (sample,) = read(serve(lambda _: data)).samples
    assert (sample.labels, sample.value) == ({"target_model_name": "a"}, 30)


@pytest.mark.parametrize(
    "data",
    [
        [[1]], None, {"a": 1}, {"result": [{}]}, {"result": [{"metric": [], "value": [0, "1"]}]}, {"result": 3},
        {"result": [{"metric": {}, "value": []}]}, {"result": [{"metric": {}, "value": [0, "x"]}]}, "text", 7,
        {"result": [{"metric": {}, "value": [0, "NaN"]}]},
    ],
)  # fmt: skip
def test_what_is_no_prometheus_is_an_error_in_one_line(data: Any, serve: Serve) -> None:
    def answer(path: str) -> bytes:
        named = "__name__" in path and isinstance(data, dict)
        return json.dumps({"status": "success", "data": ["inference_model_request_total"] if named else data}).encode()

    with pytest.raises(InputError) as error:
        over(serve(answer), 60)
    assert "\n" not in str(error.value)


def test_the_growth_of_counters_is_asked_for(serve: Serve) -> None:
    def answer(path: str) -> bytes:
        if "__name__/values" in path:
            return json.dumps({"status": "success", "data": ["up", "inference_model_request_total"]}).encode()
        assert "increase" in path and "60s" in path
        result = [{"metric": {"__name__": "x", "target_model_name": "a"}, "value": [0, "30"]}]
        return json.dumps({"status": "success", "data": {"result": result}}).encode()

    (sample,) = over(serve(answer), 60).samples
    assert (sample.name, sample.labels, sample.value) == (
        "inference_model_request_total", {"target_model_name": "a"}, 30
    )  # fmt: skip
