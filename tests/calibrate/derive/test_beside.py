"""`python -m calibrate derive --beside`: measured servers beside a derived Profile, as docs/accuracy.md tells them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SERVERS = ROOT / "calibrate" / "kernels" / "timed" / "h200-vllm-0.24-servers.csv"
SUBJECT = ["--model", "meta-llama/Llama-3.1-8B-Instruct", "--gpu", "h200", "--vllm", "0.24.0"]


def derive(*more: str | Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "calibrate", "derive", *SUBJECT, *map(str, more)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def told(text: str) -> list[tuple[str, str]]:
    """Measured and derived of every line of the table that the command prints."""
    rows = [[cell.strip() for cell in line.split("│")] for line in text.splitlines() if "│" in line]
    return [(row[-4], row[-3]) for row in rows]


def test_the_table_of_the_documents_is_what_the_command_prints() -> None:
    done = derive("--beside", SERVERS)
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs" / "accuracy.md").read_text()
    section = page.partition("## A current vLLM")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| [^|]*(?:request|KV cache)[^|]* \| ([\d., ]+) \| ([\d., ]+) \|$", section, re.MULTILINE)
    documented = [pair for row in rows for pair in zip(*(each.split(", ") for each in row), strict=True)]
    assert len(documented) == 11 and told(done.stdout) == documented


def test_a_profile_may_be_written_and_shown_and_one_of_both_is_asked_for(tmp_path: Path) -> None:
    done = derive("--beside", SERVERS, "-o", tmp_path / "profile.toml")
    assert done.returncode == 0 and (tmp_path / "profile.toml").exists() and len(told(done.stdout)) == 11
    done = derive()
    assert done.returncode == 2 and "--beside" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1,0,0,0,0.9,4.8,900000", ":2: a server and either"),
        ("1,0,,0,0.9,4.8,", ":2: a server and either"),
        (",,0,0,0.9,4.8,", ":2: a server and either"),
        ("1,0,0,0,0.9,,", ":2: a server and either"),
        ("1,0,0,0,0.9,-1,", ":2: column step_ms"),
        ("1,0,0,0,0.9,fast,", "column step_ms: numbers wanted"),
    ],
)
def test_a_table_that_is_none_is_one_line(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "servers.csv"
    path.write_text(f"{SERVERS.read_text().splitlines()[0]}\n{line}\n")
    done = derive("--beside", path)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
