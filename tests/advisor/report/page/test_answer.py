"""The page of an answer: whole by itself, nothing of an inventory in it but text, and quiet in a real browser."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.report.page.chart import Axis, chart
from tests.advisor.report.page.pages import CHROMIUM, LIMIT_KB, Page, shown_by_chromium


def inventory(folder: Path, name: str = "tenant", count: int = 400) -> Path:
    path = folder / "inventory.toml"
    path.write_text(f"""
model = "meta-llama/Llama-3.1-8B-Instruct"
gpu = "h100-64gb"
[lengths]
input = {{ mean = 223, std = 191 }}
output = {{ mean = 196, std = 181 }}
[server]
max_loras = 32
[[adapters]]
name = '{name}'
count = {count}
rank = 16
rate = 0.05
""")
    return path


def report(path: Path) -> str:
    page = path.with_name("page.html")
    command = [sys.executable, "-m", "advisor", "recommend", str(path), "--report", str(page), "--chart"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "objective missed" in done.stdout and re.search(r"^> +\d+ .*served$", done.stdout, re.MULTILINE)
    assert max(map(len, done.stdout.partition("as adapters are added")[2].splitlines())) <= 80
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(inventory(tmp_path_factory.mktemp("report")))


def test_the_page_is_whole_by_itself_and_small(page: str) -> None:
    found = Page(page)
    assert not found.links and "script" not in found.tags and "url(" not in page
    assert len(page.encode()) <= 1000 * LIMIT_KB
    assert found.tags.count("svg") == 3
    assert found.tags.count("input") >= 3
    for word in ("one GPU serves", "vllm serve", "--max-loras=", "KV cache", "Today and recommended", "Why", "TTFT"):
        assert word in page, word


def test_names_of_an_inventory_stay_text(tmp_path: Path) -> None:
    name = "<script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}&amp;"
    found = Page(text := report(inventory(tmp_path, name)))
    assert "script" not in found.tags and "img" not in found.tags
    assert name.replace("&amp;", "&amp;") in found.text and "49" not in re.findall(r"serves (\d+)", text)


def test_the_page_says_all_that_the_terminal_says(tmp_path: Path) -> None:
    path = inventory(tmp_path, count=30)
    path.write_text("dynamic = true\nvllm = '0.24'\n" + path.read_text().replace("max_loras = 32", "max_num_seqs = 64"))
    command = [sys.executable, "-m", "advisor", "recommend", str(path), "--verify", "--report", str(tmp_path / "page")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said, _, _ = done.stdout.partition("\nWhy")
    for title in ("Admission", "Nobody measured", "Expected of", "Digital twin", "Further flags", "Warnings"):
        assert f"\n{title}" in said, title
    page = Page((tmp_path / "page").read_text(encoding="utf-8"))
    words = said.replace("Changes to the settings in [server]", "Today and recommended").replace("\\\n", "").split()
    assert {each for each in words if each not in page.text.split()} == {"-", "->"}


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_shows_the_page_without_complaint(page: str, tmp_path: Path) -> None:
    assert all("Of this mix one GPU takes" in shown for shown in shown_by_chromium(page, tmp_path))


def test_axes_have_round_numbers_within_them() -> None:
    across = Axis(0, 437, 0, 100)
    assert [tick.text for tick in across.ticks()] == ["0", "100", "200", "300", "400"]
    assert [tick.text for tick in Axis(10, 10_000, 0, 3, logarithmic=True).ticks()] == ["10", "100", "1,000", "10,000"]
    assert [across.place(value) for value in (-5, 0, 437, 9999)] == [0, 0, 100, 100]


def test_a_chart_takes_what_has_no_number() -> None:
    drawn = chart("TTFT", "ms", [("8", [(1, 5.0), (2, float("nan"))])], limit=2000, logarithmic=True)
    assert drawn.lines[0].path.startswith("M") and drawn.limit is not None
