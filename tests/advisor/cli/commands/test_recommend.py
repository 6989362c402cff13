"""`advisor recommend` as it is installed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import yaml

from tests.advisor import inventories
from tests.advisor.cli.command import BASIS, COMMAND, Run
from tests.advisor.inventories import PLAIN
from tests.advisor.small_zoo import NAME


def test_recommend_in_every_format(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    documents = {}
    for form, parse in (("json", json.loads), ("toml", tomllib.loads), ("yaml", yaml.safe_load)):
        done = run("recommend", path, "--format", form)
        assert (done.returncode, done.stderr) == (0, "")
        documents[form] = parse(done.stdout)
    assert documents["json"] == documents["toml"] == documents["yaml"]
    assert documents["json"].items() >= BASIS.items()
    assert documents["json"]["admission"]["adapters"] == 61
    assert run("recommend", path, "--format", "args").stdout.split() == documents["json"]["args"]
    text = run("recommend", path).stdout
    assert text.startswith(
        f"{NAME}: one GPU serves all 61 adapters\n"
        "for vLLM 0.8.5 on test-gpu; measured: made up; pair built 2026-11-28\n\nvllm serve example/Tiny-1B"
    )
    assert all(word in text for word in documents["json"]["args"])


def test_strict_says_no_by_its_exit_code(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, PLAIN.replace("rate = 0.1", "rate = 0.6"))
    free, strict = run("recommend", path, "--format", "json"), run("recommend", path, "--strict", "--format", "json")
    assert (free.returncode, strict.returncode) == (0, 1)
    assert free.stdout == strict.stdout
    assert json.loads(free.stdout)["admission"]["rejected"]
    assert run("recommend", inventories.write(tmp_path), "--strict").returncode == 0


def test_what_is_for_several_gpus_is_told_or_refused_where_the_answer_is_about_one(run: Run, tmp_path: Path) -> None:
    done = run("recommend", inventories.write(tmp_path, PLAIN + "gpu = 1\n"), "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["warnings"] == ["gpu of adapters: for `advisor place`; this answer is about one GPU"]
    types = '[[gpus]]\ntype = "test-gpu"\n'
    path = inventories.write(tmp_path, PLAIN.replace('gpu = "test-gpu"', types))
    assert run("recommend", path).stdout == run("recommend", inventories.write(tmp_path)).stdout
    path = inventories.write(tmp_path, PLAIN.replace('gpu = "test-gpu"', f'{types}[[gpus]]\ntype = "other"\n'))
    for command in (["recommend"], ["simulate"], ["render", "-t", "serve"], ["check", COMMAND, "--inventory"]):
        done = run(*command, path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(
            "advisor: [[gpus]] names 2 types, which `advisor place` chooses from; for an answer"
        )
        assert done.stderr.count("\n") == 1


def test_nothing_feasible(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, PLAIN.replace("rate = 0.1", "rate = 900").replace("rate = 0.025", "rate = 900"))
    done = run("recommend", path, "--format", "args")
    assert (done.returncode, done.stdout) == (0, "\n")
    assert done.stderr.startswith("advisor: not feasible: ")
    assert run("recommend", path, "--strict").returncode == 1
    done = run("render", path, "--template", "compose", "-o", "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("advisor: nothing to render: not feasible: ")
    assert not (tmp_path / "out").exists()


def test_objectives(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    latency = ("--objective", "latency", "--itl-limit", "40ms", "--ttft-limit", "1s")
    done = run("recommend", path, *latency, "--format", "json")
    answer = json.loads(done.stdout)
    assert answer["expected"]["itl_ms"] <= 40
    assert answer["admission"]["adapters"] < 61
    done = run("recommend", path, "--itl-limit", "40ms")
    assert done.returncode == 2
    assert done.stderr == (
        "advisor: Invalid value: --itl-limit belongs to --objective latency; --objective steady has none "
        "(see advisor recommend --help)\n"
    )


def test_a_limit_of_a_percentile_is_told_how_it_is_settled(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    for words, told in ((("p99=5s",), True), (("p99=5s", "--verify"), False), (("5s",), False)):
        done = run("recommend", path, "--ttft-limit", *words, "--format", "json")
        warnings = json.loads(done.stdout)["warnings"]
        assert any("--verify" in each and "--exact" in each for each in warnings) == told
        assert any("P99 is limited" in each for each in warnings) == (words[0] != "5s")
    refused = json.loads(run("recommend", path, "--ttft-limit", "p99=1ms", "--format", "json").stdout)
    assert not refused["feasible"] and any("P99 is limited" in each for each in refused["warnings"])
    (told,) = (each for each in refused["warnings"] if "--exact" in each)
    assert "--verify" not in told


def test_verify(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    done = run("recommend", path, "--verify", "--format", "json")
    assert json.loads(done.stdout)["verified"]["steady"] is True
    assert done.returncode == 0
    # The made-up ensembles promise 100 ms whatever the prompts; the twin knows that 4,000 tokens take longer.
    path = inventories.write(tmp_path, PLAIN.replace("mean = 100", "mean = 4000"))
    done = run("recommend", path, "--verify", "--ttft-limit", "110ms", "--format", "json")
    answer = json.loads(done.stdout)
    assert answer["expected"]["steady"] is True
    assert answer["verified"]["steady"] is False
    assert done.returncode == 1


def test_verify_serves_the_neighbours_too(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    verified = json.loads(run("recommend", path, "--verify", "--format", "json").stdout)["verified"]
    changes = [each["change"] for each in verified["neighbours"]]
    assert sum(each.endswith(" slots") for each in changes) >= 1
    assert {"55 adapters", "67 adapters"} & set(changes)
    assert verified["best"] == (not any(each["better"] for each in verified["neighbours"]))
    text = run("recommend", path, "--verify").stdout
    assert all(change in text for change in changes)
    assert "the best" in text


def test_why_in_sentences_or_as_the_rules_have_it(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    words, full = run("recommend", path).stdout, run("recommend", path, "--trace", "full").stdout
    assert max(map(len, (words + full).splitlines())) <= 80
    steps = json.loads(run("recommend", path, "--format", "json").stdout)["trace"]
    told = " ".join(full.split())
    assert all(" ".join(rule.split()) in told for step in steps for rule in step["rule"])
    assert "load_limit = " in full and "load_limit" not in words
    assert run("recommend", path, "--trace", "full", "--format", "json").returncode == 2


def test_a_limit_that_nobody_waits_for_is_told(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    done = run("recommend", path, "--ttft-limit", "500", "--format", "args")
    assert done.stderr.startswith("advisor: --ttft-limit is 500 seconds")
    assert run("recommend", path, "--ttft-limit", "500ms", "--format", "args").stderr == ""


def test_limits_of_percentiles(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    for limit, code in (("p99=30s", 0), ("p99=50ms", 1)):
        done = run("recommend", path, "--ttft-limit", limit, "--verify", "--format", "json")
        answer = json.loads(done.stdout)
        assert done.returncode == (code if answer["feasible"] else 0)
        if answer["feasible"]:
            verified = answer["verified"]
            assert bool(verified["missed"]) == bool(code)
            assert verified["ttft_p50_ms"] <= verified["ttft_p95_ms"] <= verified["ttft_p99_ms"]
    limits = ("--ttft-limit", "p99=1ms", "--itl-limit", "p95=1ms")
    measured = json.loads(run("simulate", path, "--duration", "60", *limits, "--format", "json").stdout)
    assert [each.split(" ms")[0].rpartition(" ")[0] for each in measured["missed"]] == ["TTFT P99", "ITL P95"]
    assert measured["steady"] is False
    assert "missed" not in run("simulate", path, "--duration", "60").stdout
    assert "ITL P95" in run("simulate", path, "--duration", "60", *limits).stdout
    done = run("recommend", path, "--ttft-limit", "p90=1s")
    assert (done.returncode, done.stdout) == (2, "")
    assert "before = goes one of mean, p50, p95, p99" in done.stderr
