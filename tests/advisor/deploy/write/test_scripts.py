"""The scripts do what they say, with programs in the place of curl and vLLM that write down what they are asked."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from advisor.deploy.write.render_context import by_share
from advisor.zoo.pair import Pair
from tests.advisor.deploy.write.rendered import HOSTILE, text

RESULT = json.dumps(
    {"total_token_throughput": 1234.56, "mean_itl_ms": 20.04, "mean_ttft_ms": 99.95, "completed": 9, "num_prompts": 10}
)


def write(path: Path, script: str) -> None:
    path.write_text(script)
    path.chmod(0o755)


def run(folder: Path, name: str, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    write(folder / name, script)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    command = [str(folder / name), *arguments]
    return subprocess.run(
        command, cwd=folder, env={"PATH": path, **environment}, capture_output=True, text=True, check=False
    )


def asked(folder: Path) -> list[list[str]]:
    """The words of each call."""
    calls = (folder / "calls").read_text().split("\0\0")
    return [call.split("\0") for call in calls if call]


NOTE = "#!/bin/sh\n{ printf '%s\\0' \"$@\"; printf '\\0'; } >> calls\n"


def test_adapters_are_loaded_by_calls(pair: Pair, tmp_path: Path) -> None:
    write(tmp_path / "curl", NOTE + 'case $* in *"nothing here"*) exit 22 ;; esac\n')
    names = [*HOSTILE, "nothing here", "last"]
    script = text("load-adapters", pair, names)[0]
    done = run(tmp_path, "load.sh", script, BASE_URL="http://here:1", VLLM_API_KEY="a b")
    assert done.returncode == 1  # one failed, and the others were loaded all the same
    calls = asked(tmp_path)
    assert [json.loads(call[-1]) for call in calls] == [
        {"lora_name": name, "lora_path": f"/from/{name}"} for name in names
    ]
    assert all("http://here:1/v1/load_lora_adapter" in call and "Authorization: Bearer a b" in call for call in calls)
    assert not (tmp_path / "owned").exists()


def test_without_a_source_there_is_nothing_to_load(pair: Pair, tmp_path: Path) -> None:
    done = run(tmp_path, "load.sh", text("load-adapters", pair, ["a"], {"a": None})[0])
    assert (done.returncode, done.stderr) == (1, "the inventory has no source for any adapter\n")


def test_a_benchmark_lays_the_result_beside_what_is_expected(pair: Pair, tmp_path: Path) -> None:
    find = 'while [ "$1" != --result-dir ]; do shift; done\n'
    write(tmp_path / "vllm", f"{NOTE}{find}printf '%s' '{RESULT}' > \"$2/result.json\"\n")
    names = [name for name in HOSTILE if not name.startswith("-")]
    script, answer = text("benchmark", pair, names)
    done = run(tmp_path, "benchmark.sh", script, "--seed", "1", BASE_URL="http://here:1", DURATION="60")
    assert (done.returncode, done.stderr) == (0, "")
    (call,) = asked(tmp_path)
    assert call[:6] == ["bench", "serve", "--base-url", "http://here:1", "--model", "example/Tiny-1B"]
    given = dict(pairwise(call))
    assert given["--num-prompts"] == str(int(60 * 0.05 * len(names)))
    assert (given["--random-input-len"], given["--random-output-len"]) == ("100", "100")
    assert call[call.index("--lora-modules") + 1 :] == [*names, "--seed", "1"]
    expected = answer.figures()
    rows = [line.split()[-2:] for line in done.stdout.splitlines()]
    assert rows[0] == ["measured", "expected"]
    assert rows[1:4] == [
        ["1,234.6", f"{expected['throughput_tok_s']:,.1f}"],
        ["20.0", f"{expected['itl_ms']:,.1f}"],
        ["100.0", f"{expected['ttft_ms']:,.1f}"],
    ]
    assert rows[4] == ["9", "10"]
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("rates", "shares"),
    [([0.1, 0.1], [1, 1]), ([0.05, 0.025, 0.0], [2, 1, 0]), ([0.3, 0.2], [3, 2]), ([1000.0, 0.001], [2000, 1])],
)
def test_a_benchmark_asks_for_adapters_as_often_as_they_are_asked_for(rates: list[float], shares: list[int]) -> None:
    names = by_share(["a", "b", "c"][: len(rates)], np.array(rates))
    assert [names.count(name) for name in ["a", "b", "c"][: len(rates)]] == shares
