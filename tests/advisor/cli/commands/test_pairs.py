"""`advisor pairs` and `advisor explain` as they are installed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from tests.advisor.cli.command import Run
from tests.advisor.small_zoo import NAME


def test_pairs_lists_what_can_be_read_and_names_the_rest(run: Run, zoo: Path, tmp_path: Path) -> None:
    shutil.copytree(zoo, tmp_path / "zoo")
    for name, file in (("a", "manifest.json"), ("b", "profile.toml")):
        other = shutil.copytree(zoo / NAME, tmp_path / "zoo" / name)
        (other / file).write_text("{}")
    done = run("pairs", "--format", "json", zoo=tmp_path / "zoo")
    assert done.returncode == 0
    assert [pair["pair"] for pair in json.loads(done.stdout)] == [NAME]
    manifest, profile = done.stderr.splitlines()
    assert manifest.startswith(f"advisor: {tmp_path / 'zoo' / 'a' / 'manifest.json'}: truncated or altered")
    assert profile.startswith(f"advisor: {tmp_path / 'zoo' / 'b' / 'profile.toml'}: truncated or altered")


def test_no_error_is_told_that_a_time_near_0_makes_of_any_size(run: Run) -> None:
    """The medians of ITL, of which some are nearly 0, had a MAPE of 1,978 %."""
    text = run("pairs", zoo=None).stdout
    assert "smape_percent" in text and "p95_percent" in text and "MAPE" in text
    assert " mape_percent" not in text
    errors = json.loads(run("pairs", "--format", "json", zoo=None).stdout)[0]["errors"]
    assert any("mape_percent" in error for error in errors)


def test_pairs_and_explain(run: Run) -> None:
    assert NAME in run("pairs").stdout
    for words in (("pairs",), ("pairs", "--derived")):
        assert max(map(len, run(*words).stdout.splitlines())) <= 80
    (pair,) = json.loads(run("pairs", "--format", "json").stdout)
    assert (pair["pair"], pair["workloads"]) == (NAME, 400)
    text = run("explain", NAME.upper()).stdout
    trees = json.loads(run("explain", NAME, "--format", "json").stdout)
    assert len(trees) == 4
    for tree in trees:
        assert tree["rules"]
        assert all(sentence in text for sentence in tree["text"])
    assert re.search(r"IF \w+ <= ", text)
