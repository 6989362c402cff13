"""A server of several GPUs is told as a server, in every sentence; one of a single GPU as before."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from advisor.inventory.inventory import parse
from advisor.recommend.objective import Objective, ObjectiveName
from advisor.recommend.recommend import recommend
from advisor.recommend.what_if.explore import explored
from advisor.recommend.what_if.growth import grow
from advisor.report import Format, write
from advisor.report.page import answer as pages
from advisor.zoo.pairs import find_pair
from tests.advisor import inventories
from twin.service_level import Limit

ONE_GPU = re.compile(r"\b(?:one|a|an|the|each|every|any|no|another|which|full|spare) GPUs?\b|\bGPU \d")
"""What a sentence says of what serves, where that is one GPU."""
ABOUT_ONE = re.compile(r"on the GPU\b")
"""What may be said of one GPU of several: kernels are measured on it."""
MANY = {"name": "t", "count": 60, "rank": 16, "rate": 0.05}
TRAFFIC: dict[str, dict[str, Any]] = {
    "all are served": {"adapters": [MANY]},
    "some are served": {"adapters": [{**MANY, "count": 900}], "counted_requests": 30},
    "a large rank is left out": {"adapters": [{**MANY, "count": 300}, {"name": "large", "rank": 256, "rate": 0.5}]},
    "a giant": {"adapters": [{**MANY, "count": 300}, {"name": "giant", "rank": 16, "rate": 90.0}]},
    "one that is too much": {"adapters": [{"name": "giant", "rank": 16, "rate": 900.0}]},
    "too much without a name": {"adapters": [MANY], "base": {"rate": 900.0}},
    "bursts beside idle ones": {"adapters": [{**MANY, "cv": 4}, {**MANY, "name": "idle", "rate": 0}]},
    "at the same moment": {"adapters": [{**MANY, "count": 8, "together": "panel"}]},
    "one token": {"adapters": [MANY], "lengths": {"input": {"mean": 700, "std": 300}, "output": {"mean": 1, "std": 0}}},
}


def document(case: dict[str, Any], tensor_parallel: int) -> dict[str, Any]:
    lengths = {"input": {"mean": 223, "std": 191}, "output": {"mean": 196, "std": 181}}
    many = {} if tensor_parallel == 1 else {"tensor_parallel": tensor_parallel}
    return {"model": "Llama-3.1-8B-Instruct", "gpu": "l40s", "vllm": "0.33", "lengths": lengths, **many, **case}


def answered(case: dict[str, Any], tensor_parallel: int) -> str:
    inventory = parse(inventories.toml(document(case, tensor_parallel)))
    pair = find_pair(inventory.model, inventory.one_gpu(), None, inventory.engine)
    told = []
    for objective in (Objective(), Objective(ObjectiveName.LATENCY, Limit(0.5), Limit(0.03))):
        answer = explored(inventory, pair, objective, recommend(inventory, pair, objective))
        page = pages.write(answer, grow(inventory, pair, objective, answer), pair.profile, objective)
        told += [write(answer, Format.TEXT), write(answer, Format.TEXT, full_trace=True), write(answer, Format.JSON)]
        told.append(re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL))
    return " ".join(" ".join(told).split())


@pytest.mark.parametrize("name", TRAFFIC)
def test_no_sentence_says_gpu_where_a_server_of_several_is_meant(name: str) -> None:
    text = answered(TRAFFIC[name], 4)
    assert not ONE_GPU.findall(ABOUT_ONE.sub("", text))
    assert "one server of 4 GPUs serves" in text or "not feasible" in text
    assert "on 4 l40s" in text


def test_a_server_of_one_gpu_is_a_gpu() -> None:
    text = answered(TRAFFIC["some are served"], 1)
    assert "one GPU serves" in text and "one server" not in text and "on l40s;" in text


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    busy = [{**MANY, "count": 250}, {**MANY, "name": "twice", "count": 1, "replicas": 2}]
    path = tmp_path / "fleet.toml"
    path.write_text(inventories.toml(document({"adapters": busy, "base": {"rate": 1.0}}, 2)))
    return path


def placed(*words: str | Path) -> str:
    command = [sys.executable, "-m", "advisor", "place", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_a_placement_is_of_servers_too(fleet: Path, tmp_path: Path) -> None:
    before = tmp_path / "before.json"
    before.write_text(placed(fleet, "--format", "json", "--n-plus-one"))
    count = json.loads(before.read_text())["gpus"]
    assert count > 2
    text = placed(fleet, "--n-plus-one")
    assert text.startswith(f"{count} servers of 2 GPUs each serve all 251 adapters")
    assert re.search(r"^ *server +load", text, re.MULTILINE) and re.search(r"twice-0: server \d", text)
    assert "stands by for server " in text and "If a server fails" in text
    few = placed(fleet, "--gpus", "1", "--previous", before)
    assert "On no server" in few and "send no more requests that name no adapter to server" in few
    for each in (text, few):
        assert not ONE_GPU.findall(ABOUT_ONE.sub("", " ".join(each.split())))
