"""Rates that few requests tell, beyond `recommend`: what `place` and `check` say of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

INVENTORY = """
model = "Llama-3.1-8B-Instruct"
gpu = "h100-64gb"
{counted}
[lengths]
input = {{ mean = 223, std = 191 }}
output = {{ mean = 196, std = 181 }}

[[adapters]]
name = "t"
count = 400
rank = 16
rate = 0.05
"""
SAID = "the traffic was counted from 40 requests only: 0.75 to 1.3 times as much may come"


def advisor(*words: str | Path) -> str:
    command = [sys.executable, "-m", "advisor", *map(str, words)]
    return " ".join(subprocess.run(command, capture_output=True, text=True, check=False).stdout.split())


def inventory(folder: Path, requests: int | None) -> Path:
    path = folder / f"inventory-{requests}.toml"
    path.write_text(INVENTORY.format(counted="" if requests is None else f"counted_requests = {requests}"))
    return path


def test_a_placement_says_on_how_little_it_rests(tmp_path: Path) -> None:
    few, many, planned = (inventory(tmp_path, requests) for requests in (40, 4000, None))
    text = advisor("place", few)
    assert SAID in text.partition("GPU load")[0]
    assert "GPU 0 has a load of 1" in text and "a headroom of 0.31 leaves room for that" in text
    assert "leaves room" not in advisor("place", few, "--headroom", "0.4") and SAID in advisor("place", few)
    before = tmp_path / "before.json"
    before.write_text(advisor("place", few, "--format", "json"))
    assert json.loads(before.read_text())["counted"]["requests"] == 40
    assert SAID in advisor("place", few, "--previous", before)
    assert "counted" not in advisor("place", many) and "counted" not in advisor("place", planned, "--format", "json")


@pytest.mark.parametrize("slots", [2, 64])
def test_findings_that_rest_on_rates_say_so(tmp_path: Path, slots: int) -> None:
    (tmp_path / "serve.sh").write_text(
        f"vllm serve meta-llama/Llama-3.1-8B-Instruct --enable-lora --max-loras {slots} --max-cpu-loras 400\n"
    )
    few, known = (
        advisor("check", tmp_path / "serve.sh", "--inventory", inventory(tmp_path, requests), "--select", "AD2")
        for requests in (40, None)
    )
    assert "AD202" in few and few.count(SAID) == few.count("AD20")
    assert "counted" not in known
