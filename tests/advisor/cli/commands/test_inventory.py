"""`advisor inventory …` as it is installed, up to a real Prometheus."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from advisor.inventory.inventory import load

COMMAND = [sys.executable, "-m", "advisor", "inventory"]
PROMETHEUS = shutil.which("prometheus") or shutil.which("prometheus", path="build/debian/usr/bin")
LOG = "time,adapter,input,output\n" + "".join(f"{10 * i},{'sql' if i % 3 else ''},100,50\n" for i in range(300))


def run(*words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def adapter(folder: Path, rank: int) -> None:
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 32, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def test_folders_and_a_log_make_an_inventory_together(tmp_path: Path) -> None:
    adapter(tmp_path / "adapters" / "sql", 16)
    adapter(tmp_path / "adapters" / "quiet", 64)
    (tmp_path / "log.csv").write_text(LOG.replace(",,", ",sql,"))
    path = tmp_path / "inventory.toml"
    llama = "meta-llama/Llama-3.1-8B-Instruct"
    first = run("scan", tmp_path / "adapters", "-o", path, "--model", llama, "--gpu", "h100-64gb")
    assert first.returncode == 0, first.stderr
    assert "still needed: rate of quiet, sql" in first.stderr
    second = run("from-log", tmp_path / "log.csv", "--into", path)
    assert (second.returncode, second.stdout) == (0, ""), second.stderr
    assert "still needed" not in second.stderr
    inventory = load(path)
    assert dict(zip(inventory.names, inventory.workload.rate.tolist(), strict=True)) == {"quiet": 0, "sql": 0.1}
    again = run("scan", tmp_path / "adapters", "-o", path)
    assert again.returncode == 2 and "is there already" in again.stderr and len(again.stderr.splitlines()) == 1
    checked = run("check", path)
    assert checked.returncode == 0 and "2, 1 of them of rate 0" in checked.stdout
    assert json.loads(run("check", path, "--format", "json").stdout)["ranks"] == {"16": 1, "64": 1}


def test_a_log_comes_from_the_standard_input_and_goes_to_stdout() -> None:
    done = run("from-log", "-", "--format", "json", stdin=LOG)
    told = json.loads(done.stdout)
    assert [each["name"] for each in told["adapters"]] == ["sql"]
    assert told["base"]["requests"] == 100


def test_deployment_files_name_adapters_and_settings(tmp_path: Path) -> None:
    script = tmp_path / "serve.sh"
    script.write_text("vllm serve org/m --enable-lora --max-loras 4 --lora-modules sql=/a/sql legal=/a/legal\n")
    told = json.loads(run("from-files", script, "--format", "json").stdout)
    assert [(each["name"], each["source"]) for each in told["adapters"]] == [("sql", "/a/sql"), ("legal", "/a/legal")]
    assert (told["model"], told["server"]) == ("org/m", {"max_loras": 4})


@pytest.mark.parametrize(
    "words",
    [
        ["scan", "nowhere"],
        ["from-log", "nowhere"],
        ["from-metrics", "nowhere"],
        ["from-metrics", "http://127.0.0.1:9/metrics"],
        ["from-metrics", "ftp://x/metrics"],
        ["from-metrics", "page", "--earlier", "page"],
        ["from-metrics", "page", "--range", "1h"],
        ["from-files", "nowhere"],
        ["check", "nowhere"],
        ["scan", ".", "-o", "a", "--into", "b"],
        [],
    ],
)
def test_bad_input_is_exit_code_2_and_no_traceback(words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 2 and not done.stdout
    assert "Traceback" not in done.stderr
    assert not words or len(done.stderr.splitlines()) == 1


class Gateway(BaseHTTPRequestHandler):
    """A gateway's page whose counters grow by 5 and 1 requests/s."""

    def do_GET(self) -> None:
        passed = time.monotonic() - START
        lines = [
            f'inference_objective_request_total{{target_model_name="{name}"}} {int(rate * passed)}\n'
            for name, rate in (("sql", 500), ("legal", 100))
        ]
        body = "".join(lines).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


START = time.monotonic() - 1


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def ratio(done: subprocess.CompletedProcess[str]) -> float:
    assert done.returncode == 0, done.stderr
    rates = {each["name"]: each["rate"] for each in json.loads(done.stdout)["adapters"]}
    return float(rates["sql"] / rates["legal"])


def test_a_url_is_scraped_twice(gateway: str) -> None:
    done = run("from-metrics", f"http://{gateway}/metrics", "--wait", "1s", "--format", "json")
    assert ratio(done) == pytest.approx(5, rel=0.2)


@pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed")
def test_a_real_prometheus_tells_a_stretch_of_time(gateway: str, tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 200ms}\n"
        f"scrape_configs: [{{job_name: gateway, static_configs: [{{targets: ['{gateway}']}}]}}]\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        str(PROMETHEUS), f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ) as server:
        try:
            url = f"http://{address}"
            query = f"{url}/api/v1/query?query=count_over_time(inference_objective_request_total[1h])%20%3E%2010"
            for _ in range(300):
                try:
                    with urllib.request.urlopen(query, timeout=5) as answer:
                        if json.load(answer)["data"]["result"]:
                            break
                except (urllib.error.URLError, ConnectionError):
                    pass
                time.sleep(0.1)
            assert ratio(run("from-metrics", url, "--range", "1h", "--format", "json")) == pytest.approx(5, rel=0.2)
            wrong = run("from-metrics", f"http://{gateway}", "--range", "1h")
            assert wrong.returncode == 2 and "does not answer as Prometheus does" in wrong.stderr
        finally:
            server.terminate()
