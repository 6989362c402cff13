"""`python -m calibrate run`, `drift` and `verify-client` as they are called."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from calibrate.parcels import MIB, pack
from tests.calibrate.live.fake_vllm import FakeVllm, running
from tests.calibrate.live.measurements.test_campaign import make
from tests.calibrate.rehearsal import Rehearsal

MODEL = ("--hub-id", "example/Tiny", "--gpu", "fake", "--scale", "cpu", "--hour-seconds", "1")


PROFILE = Path("model_zoo/pairs/llama-3.1-8b-instruct--h100-64gb/profile.toml")
DRIFT = ("drift", PROFILE, "--max-loras", "8", "--max-lora-rank", "8")


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "calibrate", *map(str, arguments)]


def calibrate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), check=False, capture_output=True, text=True)


def arguments(folder: Path) -> list[str | Path]:
    """Of a calibration in `folder`, with a `vllm` that only pretends to compute."""
    campaign = make(folder, most=1000)
    where = ("--model", campaign.model, "--work", folder / "work", "--output", folder / "profile.toml")
    return ["run", *where, *MODEL, "--vllm", campaign.vllm]


def processes(word: str) -> list[int]:
    """Those whose command line holds the word."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if word in (entry / "cmdline").read_text():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_calibration_that_is_stopped_leaves_no_server_and_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    called = arguments(tmp_path)
    stopped = subprocess.Popen(command(*called), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: bool(list((tmp_path / "work" / "slots-0-rank-16").glob("batch-*.json"))))
    server = f"--port={(tmp_path / 'port').read_text()}"
    assert processes(server)
    second = calibrate(*called)
    assert (second.returncode, second.stderr.count("\n")) == (2, 1)
    assert f"{tmp_path / 'work'}: another calibration is at work here" in second.stderr
    stopped.send_signal(number)
    _, told = stopped.communicate(timeout=120)
    assert stopped.returncode == (130 if number == signal.SIGINT else -signal.SIGTERM)
    assert "Traceback" not in told
    if number == signal.SIGINT:
        assert "stopped; the same command goes on" in told
        assert (tmp_path / "work" / "tables" / "decode_latency.csv").exists()
    wait_until(lambda: not processes(server))
    assert not (tmp_path / "profile.toml").exists()
    assert "slots-0-rank-16: starting the server" in (tmp_path / "work" / "calibrate.log").read_text()
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "work").glob("*/batch-*.json")}
    again = subprocess.Popen(command(*called), stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list((tmp_path / "work").glob("*/batch-*.json"))) > len(kept))
    again.send_signal(signal.SIGINT)
    again.wait(timeout=120)
    assert kept == {file: file.stat().st_mtime_ns for file in kept}


def test_what_a_borrowed_machine_does_takes_less_than_a_quarter_of_an_hour(tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path, slots="32 0")
    planned = rehearsal.step("times")
    assert planned.returncode == 0
    seconds = [int(line.split()[0]) for line in planned.stdout.splitlines()]
    assert sum(seconds[:-1]) == seconds[-1] < 15 * 60
    for line in planned.stdout.replace("32 0 slots", "32 0 128 1 slots").splitlines():
        assert f"    {line}\n" in Path("docs/pairs.md").read_text()
    for words in (["kernels"], ["servers", ""], ["flowers", "results"]):
        refused = rehearsal.step(*words)
        assert refused.returncode == 2 and "RESULTS" in refused.stderr


def test_a_borrowed_machine_gives_kernels_first_and_then_what_its_time_is_enough_for(tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path, slots="32")
    assert rehearsal.step("kernels", str(rehearsal.results)).returncode == 0
    assert len((rehearsal.results / "kernels.jsonl").read_text().splitlines()) == 200
    assert not (rehearsal.results / "figures.tar.gz").exists()
    done = rehearsal.step("servers", str(rehearsal.results))
    assert done.returncode == 0, done.stdout
    assert "3 of 4 servers to be measured" in (rehearsal.results / "calibrate.log").read_text()
    with tarfile.open(rehearsal.results / "figures.tar.gz") as packed:
        names = packed.getnames()
    assert {"./slots-32-rank-16/start.json", "./calibrate.log", "./slots-32-rank-16/server.log"} < set(names)
    assert not [name for name in names if "adapters/" in name or "slots-0" in name]


def test_what_comes_in_parts_is_put_together_and_installed(tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path, slots="32")
    wheel = make_wheel(tmp_path / "probe-1.0-py3-none-any.whl", size=3 * MIB)
    shutil.move(tmp_path / "parcels" / "1", tmp_path / "first")
    (tmp_path / "parcels").rmdir()
    parcels = pack(tmp_path / "first", [wheel], tmp_path / "parcels", 1.0)
    assert len(parcels) == 5
    done = rehearsal.step("servers", str(rehearsal.results), "1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work" / "large" / "probe.py").stat().st_size == 3 * MIB
    assert "no server with 32 slots any more" in done.stdout


def make_wheel(path: Path, size: int) -> Path:
    """A wheel of one module that cannot be compressed."""
    info = "probe-1.0.dist-info/"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("probe.py", bytes(size))
        packed.writestr(f"{info}METADATA", "Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
        packed.writestr(f"{info}WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{info}RECORD", "")
    return path


def test_servers_of_other_slots_than_the_plan_has_are_refused(tmp_path: Path) -> None:
    told = calibrate(*arguments(tmp_path), "--slots", "7", "--scale", "quarter")
    assert told.returncode == 2
    assert told.stderr == "calibrate: --slots 7: the plan has servers of 32, 0, 128, 1 slots\n"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_must_be_started_elsewhere_is_named(tmp_path: Path) -> None:
    refused = calibrate(*arguments(tmp_path), "--out-of-memory")
    assert refused.returncode == 2
    assert refused.stderr == (
        "calibrate: --url, --out-of-memory: --max-loras and --max-lora-rank are needed, too: no server reports them\n"
    )
    assert not (tmp_path / "work").exists()
    told = calibrate(*arguments(tmp_path), "--out-of-memory", "--max-loras", "16", "--max-lora-rank", "16")
    assert told.returncode == 0
    assert told.stderr == "calibrate: 5 of 6 servers to be measured, next:\n"
    assert told.stdout.startswith(f"vllm serve {tmp_path / 'model'} --max-num-seqs=1024")


def test_the_plan_and_its_duration_are_told_beforehand(tmp_path: Path) -> None:
    told = calibrate(*arguments(tmp_path), "--dry-run")
    assert told.stderr == "calibrate: about 7 minutes to go\n"
    assert "served-2-adapters-16" in told.stdout
    assert "vllm serve" not in told.stdout
    assert not (tmp_path / "work").exists()
    former, now = (calibrate(*arguments(tmp_path), "--dry-run", flag) for flag in ("--questions", "--experiments"))
    assert former.stdout == now.stdout != told.stdout


def test_a_running_server_is_measured_where_it_is(tmp_path: Path) -> None:
    with running(FakeVllm(ttft_s=0.001, itl_s=0.001)) as url:
        told = calibrate(*arguments(tmp_path), "--url", url, "--max-loras", "16", "--max-lora-rank", "8")
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "work" / "slots-16-rank-8" / "idle.json").exists()
    assert "5 of 6 servers to be measured" in told.stderr


def test_a_server_that_is_not_there_leaves_nothing_behind(tmp_path: Path) -> None:
    told = calibrate(*arguments(tmp_path), "--url", "http://127.0.0.1:9", "--max-loras", "16", "--max-lora-rank", "8")
    assert told.returncode == 2
    assert told.stderr.startswith("calibrate: http://127.0.0.1:9")
    assert told.stderr.count("\n") == 1
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "drift: --url wanted, or --metrics once or twice"),
        (["--url", "http://example.org:8000"], "'example.org' is not this machine"),
        (["--metrics", "nothing.txt"], "nothing.txt: cannot read the metrics"),
    ],
)
def test_drift_says_what_it_wants(words: list[str], message: str) -> None:
    told = calibrate(*DRIFT, *words)
    assert told.returncode == 2
    assert message in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_drift_of_saved_metrics(tmp_path: Path) -> None:
    saved = tmp_path / "metrics.txt"
    saved.write_text(FakeVllm(itl_s=1.0, steps=10, generation_tokens=30, gaps=29).metrics_text())
    told = calibrate(*DRIFT, "--metrics", saved)
    assert told.returncode == 1
    assert "step of 3 requests, ms" in told.stdout


def test_what_the_client_bears() -> None:
    told = calibrate("verify-client", "500")
    assert told.returncode == 0
    assert "kept up" in told.stdout
