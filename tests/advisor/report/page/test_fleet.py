"""The page of a placement: the fleet as the terminal tells it, drawn, with nothing of an inventory in it but text."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advisor.place.place import place
from advisor.place.problem import GpuType, Problem
from advisor.report.occupancy import occupancy
from advisor.report.page.fleet import SHOWN, write
from advisor.zoo.pair import Pair
from tests.advisor.inventories import of
from tests.advisor.report.page.pages import CHROMIUM, LIMIT_KB, Page, shown_by_chromium
from tests.advisor.small_zoo import random_mix

NAME = "<script>alert(1)</script>{{ 7*7 }}"
FLEET = f"""
model = "meta-llama/Llama-3.1-8B-Instruct"
[lengths]
input = {{ mean = 300, std = 200 }}
output = {{ mean = 150, std = 100 }}
[base]
rate = 6.0
[[gpus]]
type = "h100-64gb"
price = 2.6
[[adapters]]
name = '{NAME}'
count = 300
rank = 16
rate = 0.1
[[adapters]]
name = "big"
count = 20
rank = 64
rate = 0.2
"""


def placed(folder: Path, *flags: str) -> tuple[str, str]:
    """What the terminal says, and the page."""
    (folder / "fleet.toml").write_text(FLEET, encoding="utf-8")
    page = folder / "fleet.html"
    command = [sys.executable, "-m", "advisor", "place", str(folder / "fleet.toml"), *flags, "--report", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return placed(tmp_path_factory.mktemp("fleet"), "--n-plus-one", "--verify")


def test_the_page_says_all_that_the_terminal_says(told: tuple[str, str]) -> None:
    said, page = told
    text = Page(page).text
    for title in ("Digital twin", "Requests that name no adapter", "If a GPU fails"):
        assert f"\n{title}\n" in said, title
    _, _, below = said.partition("\nDigital twin")
    words = [each for each in below.split() if each != "-"]
    assert [each for each in words if each not in text.split()] == []
    for row in re.findall(r"^ +(\d+) .*?(\d+)% .*?(\d+/\d+)", said, re.MULTILINE):
        assert f"{row[1]} %" in text and row[2] in text


def test_the_page_is_whole_by_itself_and_names_stay_text(told: tuple[str, str]) -> None:
    found = Page(told[1])
    assert not found.links and "script" not in found.tags and "url(" not in told[1]
    assert NAME in found.text
    gpus = found.tags.count("details")
    assert found.tags.count("tr") == gpus + 1
    assert told[1].count('class="bar"') == 3 * gpus


def test_base_traffic_is_drawn_where_it_goes(tmp_path: Path, told: tuple[str, str]) -> None:
    _, own = placed(tmp_path, "--base", "own")
    assert "load of requests that name no adapter" in own
    drawn = re.findall(r'<span class="base" style="width:([0-9.]+)%">', own)
    spread = re.findall(r'<span class="base" style="width:([0-9.]+)%">', told[1])
    assert 1 <= len(drawn) < len(spread) or float(drawn[0]) > max(map(float, spread))


def test_bars_are_as_long_as_what_they_show(pair: Pair) -> None:
    inventory = of(random_mix(np.random.default_rng(3), 80))
    answer = place(Problem(inventory, (GpuType(pair),)))
    page = write(answer, inventory)
    bars = re.findall(r'<span class="adapters" style="width:([0-9.]+)%">', page)
    filled = [occupancy(each, inventory) for each in answer.assignments]
    assert [float(each) for each in bars] == [pytest.approx(100 * min(one.load, 1.0), abs=0.06) for one in filled]
    slots = re.findall(r'in use"><span class="slots" style="width:([0-9.]+)%">', page)
    wanted = [100 * one.busy / each.settings.max_loras for one, each in zip(filled, answer.assignments, strict=True)]
    assert [float(each) for each in slots] == [pytest.approx(each, abs=0.06) for each in wanted]


def test_of_a_thousand_gpus_the_page_stays_small(pair: Pair) -> None:
    inventory = of(random_mix(np.random.default_rng(3), 80))
    answer = place(Problem(inventory, (GpuType(pair),)))
    many = tuple(replace(answer.assignments[0], gpu=number) for number in range(1000))
    page = write(replace(answer, assignments=many), inventory)
    assert len(page.encode()) <= 1000 * LIMIT_KB
    assert f"{1000 - SHOWN} GPUs more" in page


def test_a_page_is_of_one_fleet(tmp_path: Path) -> None:
    for name in ("one.toml", "two.toml"):
        (tmp_path / name).write_text(FLEET, encoding="utf-8")
    command = [sys.executable, "-m", "advisor", "place", "one.toml", "two.toml", "--report", "page.html"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2 and "one inventory" in done.stderr
    assert not (tmp_path / "page.html").exists()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_shows_the_page_without_complaint(told: tuple[str, str], tmp_path: Path) -> None:
    assert all("Each GPU" in shown for shown in shown_by_chromium(told[1], tmp_path))
