"""The installed command, as a user runs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

import advisor
from advisor.cli.app import app
from tests.advisor import inventories
from tests.advisor.inventories import PLAIN
from tests.advisor.small_zoo import NAME

COMMAND = Path(sys.executable).with_name("advisor")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(zoo: Path, tmp_path: Path) -> Run:
    """Run `advisor` in an empty directory, on the small zoo unless told otherwise."""

    def run(*args: str | Path, zoo: Path | None = zoo) -> subprocess.CompletedProcess[str]:
        words = [*args, *(["--zoo", zoo] if zoo else [])]
        return subprocess.run([COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)

    return run


BASIS = {
    "pair": NAME,
    "model": "example/Tiny-1B",
    "gpu": "test-gpu",
    "vllm": "0.8.5",
    "measured": "made up",
    "built": "2026-11-28",
}


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


@pytest.mark.parametrize(
    "words",
    [("--no-lora", "--max-loras", "4"), ("--no-lora", "--cold"), ("--duration", "1e9"), ("--duration", "9999h")],
)
def test_simulate_refuses_what_does_nothing_or_never_ends(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run("simulate", inventories.write(tmp_path), *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_the_table_of_a_simulation_fits_eighty_columns(run: Run, tmp_path: Path) -> None:
    table = run("simulate", inventories.write(tmp_path), "--duration", "60").stdout.partition("\n\n")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert all(column in table for column in ("offered_tok_s", "waiting_mean", "steady"))


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


def test_simulate_many(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    done = run("simulate", path, path, "--max-loras", "8", "--duration", "60", "--format", "json")
    first, second = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, done.stderr) == (0, "")
    assert first["inventory"] == str(path)
    assert first.items() >= BASIS.items()
    assert {**first, "wall_s": 0} == {**second, "wall_s": 0}
    table, _, basis = run("simulate", path, path, "--duration", "60").stdout.partition("\n\n")
    assert table.splitlines()[0].split()[:4] == ["inventory", "max_loras", "offered_tok_s", "throughput_tok_s"]
    assert basis == f"{NAME}: for vLLM 0.8.5 on test-gpu; measured: made up; pair built 2026-11-28\n"
    done = run("simulate", path, tmp_path / "none.toml", "--format", "json")
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("replayed", [False, True])
def test_simulate_requests_that_the_server_refuses(run: Run, tmp_path: Path, replayed: bool) -> None:
    path, log = inventories.write(tmp_path, PLAIN + "[server]\nmax_model_len = 300\n"), tmp_path / "log.csv"
    log.write_text("time,adapter,input,output\n" + "".join(f"{i},sql-0,{100 * (i % 3 + 1)},100\n" for i in range(60)))
    words = ("simulate", path, "--duration", "60", *(("--requests", log) if replayed else ()))
    measures = json.loads(run(*words, "--format", "json").stdout)
    assert 0 < measures["refused"] < measures["arrivals"]
    assert measures["completed"] <= measures["arrivals"] - measures["refused"]
    if replayed:
        assert measures["refused"] == 20
    assert "refused" in run(*words).stdout
    log.write_text(log.read_text().replace(",300,", ",200,"))
    assert not replayed or "refused" not in run(*words).stdout


def test_simulate_a_log_of_requests(run: Run, tmp_path: Path) -> None:
    path, log = inventories.write(tmp_path), tmp_path / "log.csv"
    log.write_text("time,adapter,input,output\n" + "".join(f"{i / 2},sql-{i % 60},100,20\n" for i in range(240)))
    done = run("simulate", path, "--requests", log, "--format", "json")
    measures = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert measures["arrivals"] == 240
    assert measures["offered_tok_s"] == pytest.approx(240.0)
    # Rates and lengths stand in the log, so the inventory need not say them.
    bare = inventories.write(
        tmp_path,
        'model = "example/Tiny-1B"\ngpu = "test-gpu"\n'
        '[[adapters]]\nname = "sql"\nrank = 16\ncount = 60\n[[adapters]]\nname = "tenant"\nrank = 8\n',
    )
    again = json.loads(run("simulate", bare, "--requests", log, "--format", "json").stdout)
    assert {**again, "wall_s": 0} == {**measures, "wall_s": 0}
    done = run("simulate", path, "--requests", log, "--duration", "1m", "--format", "json")
    assert json.loads(done.stdout)["arrivals"] == 120
    log.write_text(log.read_text() + "5,sql-60,1,1\n")
    done = run("simulate", path, "--requests", log)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"advisor: {log}:242: adapter is 'sql-60', but must be the name of an adapter in the inventory, or empty\n"
    )


def test_render(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    done = run("render", path, "-t", "compose", "-t", "serve", "-o", "out")
    assert (done.returncode, done.stdout) == (0, "out/compose.yaml\nout/serve.sh\n")
    assert done.stderr == (
        "advisor: 60 of 61 adapters have no source in the inventory: vLLM does not load them at start; add their "
        "sources, or load them while it runs: sql-0, sql-1, sql-2, sql-3, sql-4, sql-5, sql-6, sql-7 and 52 more\n"
    )
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["compose.yaml", "serve.sh"]
    assert run("render", path, "-t", "compose").stdout == (tmp_path / "out" / "compose.yaml").read_text()
    done = run("render", path, "-t", "compose", "-t", "none", "-o", "other")
    assert done.returncode == 2
    assert not (tmp_path / "other").exists()


def test_render_replaces_a_file_only_by_force(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, PLAIN.replace('"sql"', '"sql"\nsource = "adapters/sql"'))
    (tmp_path / "serve.sh").write_text("mine")
    done = run("render", path, "-t", "compose", "-t", "serve", "-o", ".")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "advisor: serve.sh: already there; --force replaces it\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["inventory.toml", "serve.sh"]
    assert (tmp_path / "serve.sh").read_text() == "mine"
    done = run("render", path, "-t", "serve", "-o", ".", "--force")
    assert (done.returncode, done.stdout, done.stderr) == (0, "serve.sh\n", "")
    assert "exec vllm serve" in (tmp_path / "serve.sh").read_text()


def test_render_lists_its_templates(run: Run) -> None:
    done = run("render", "--list", zoo=None)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert ["compose", "docker compose"] in lines
    assert {"kserve", "nginx", "benchmark"} < {name for name, _ in lines}
    assert not any(name.startswith("_") for name, _ in lines)


def test_render_for_another_vllm(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    done = run("render", path, "-t", "compose", "--vllm", "0.32", "--enforce", "--at-run-time")
    assert (done.returncode, done.stderr) == (0, "")
    service = yaml.safe_load(done.stdout)["services"]["vllm"]
    assert service["image"] == "vllm/vllm-openai:v0.32.0"
    assert service["environment"]["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"
    assert any(word.startswith("--max-num-queued-reqs=") for word in service["command"])
    assert "--lora-modules" not in service["command"]
    assert "# Written for vLLM 0.32.0, which was not measured: it may be faster or slower.\n" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--enforce"], "advisor: vLLM 0.8.5 cannot bound the requests in flight itself; 0.29 and later can"),
        (["--enforce", "--vllm", "0.28.1"], "advisor: vLLM 0.28.1 cannot bound the requests in flight itself"),
        (["--vllm", "0.7.3"], "advisor: vLLM 0.7.3: older than 0.8, the oldest that launch files are written for"),
        (["--vllm", "latest"], "advisor: vLLM 'latest': not a version, such as 0.32 or 0.32.0"),
        (
            ["-t", "kserve"],
            "advisor: kserve: 'example/$(reboot)': KServe loads adapters from hf://, s3://, pvc:// or a",
        ),
    ],
)
def test_what_cannot_be_rendered_is_told_in_a_line(run: Run, tmp_path: Path, options: list[str], message: str) -> None:
    path = inventories.write(tmp_path, PLAIN.replace("adapters/tenant", "example/$(reboot)"))
    done = run("render", path, "-t", "serve", "-o", "out", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


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


def test_a_template_of_ones_own_imports_nothing_from_where_it_is_rendered(run: Run, tmp_path: Path) -> None:
    (tmp_path / "jinja2.py").write_text("raise SystemExit('imported')")
    (tmp_path / "own.txt.j2").write_text("{{ vllm }} {{ adapters | length }}")
    done = run("render", inventories.write(tmp_path), "-t", "own.txt.j2")
    assert (done.returncode, done.stdout) == (0, "0.8.5 61\n")


def test_pairs_and_explain(run: Run) -> None:
    assert NAME in run("pairs").stdout
    (pair,) = json.loads(run("pairs", "--format", "json").stdout)
    assert (pair["pair"], pair["workloads"]) == (NAME, 400)
    text = run("explain", NAME.upper()).stdout
    trees = json.loads(run("explain", NAME, "--format", "json").stdout)
    assert len(trees) == 4
    for tree in trees:
        assert tree["rules"]
        assert all(sentence in text for sentence in tree["text"])
    assert re.search(r"IF \w+ <= ", text)


BAD = {
    "broken TOML": PLAIN.replace("[lengths]", "[lengths"),
    "unknown key": PLAIN.replace("rank = 8", "rnk = 8"),
    "no room for the rank": PLAIN.replace("rank = 8", "rank = 513"),
    "negative rate": PLAIN.replace("0.1", "-0.1"),
    "absurd rate": PLAIN.replace("0.1", "1e12"),
    "duplicate name": PLAIN.replace('"tenant"', '"sql-0"'),
    "unknown model": PLAIN.replace("Tiny-1B", "Tiny-2B"),
    "unknown GPU": PLAIN.replace("test-gpu", "b200"),
    "empty inventory": PLAIN[: PLAIN.index("[[adapters]]")],
    "empty file": "",
    "not text": "\udcff",
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input(run: Run, tmp_path: Path, what: str) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text(BAD[what], errors="surrogateescape")
    check_refused(run("recommend", path), tmp_path)


@pytest.mark.parametrize("command", [("render", "-t", "serve", "-o", "out"), ("simulate",)])
def test_bad_input_of_other_commands(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    check_refused(run(*command, inventories.write(tmp_path, BAD["absurd rate"])), tmp_path)


@pytest.mark.parametrize("file", ["missing.toml", ".", "", "/dev/zero"])
def test_no_such_inventory(run: Run, tmp_path: Path, file: str) -> None:
    check_refused(run("recommend", file), tmp_path)


def test_an_inventory_from_the_standard_input(run: Run, zoo: Path, tmp_path: Path) -> None:
    path, words = inventories.write(tmp_path), f"{COMMAND} recommend - --format args --zoo {zoo}"
    for source, code, output in ((f"< {path}", 0, run("recommend", path, "--format", "args").stdout), ("<&-", 2, "")):
        done = subprocess.run(["sh", "-c", f"{words} {source}"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (code, output)
        assert done.stderr.count("\n") == (code == 2)


@pytest.mark.parametrize("file", ["rules.onnx", "serving.onnx", "profile.toml", "manifest.json"])
def test_truncated_files_of_the_pair(run: Run, zoo: Path, tmp_path: Path, file: str) -> None:
    shutil.copytree(zoo, tmp_path / "zoo")
    path = tmp_path / "zoo" / NAME / file
    path.write_bytes(path.read_bytes()[:-9])
    done = run("recommend", inventories.write(tmp_path), zoo=tmp_path / "zoo")
    shutil.rmtree(tmp_path / "zoo")
    check_refused(done, tmp_path)
    assert file in done.stderr


def check_refused(done: subprocess.CompletedProcess[str], directory: Path) -> None:
    """Exit code 2, one line on stderr, nothing on stdout, nothing written."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("advisor: ")
    assert done.stderr.count("\n") == 1
    assert {path.name for path in directory.iterdir()} <= {"inventory.toml"}


@pytest.mark.parametrize(
    "words",
    [
        ("recommend",),
        ("recommend", "x", "--objective", "fast"),
        ("recommend", "x", "--ttft-limit", "soon"),
        ("fly",),
        ("--fly",),
        ("simulate", "x", "--max-loras", "0"),
    ],
)
def test_bad_usage(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words, zoo=None)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"advisor: .* \(see advisor.* --help\)\n", done.stderr)
    assert (words[-2] if len(words) > 2 else words[-1]) in done.stderr or words == ("recommend",)


def test_no_command_shows_the_help(run: Run) -> None:
    done = run(zoo=None)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == run("--help", zoo=None).stdout


COMMANDS = ("recommend", "render", "simulate", "pairs", "explain")


@pytest.mark.parametrize("words", [(), *((command,) for command in COMMANDS)])
def test_help(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words, "--help", zoo=None)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(" ".join(("Usage: advisor", *words)))
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert run(*words, "-h", zoo=None).stdout == done.stdout


def test_version(run: Run) -> None:
    done = run("--version", zoo=None)
    assert (done.returncode, done.stdout) == (0, f"adapter-advisor {version('adapter-advisor')}\n")


def test_as_a_module(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    words = [sys.executable, "-m", "advisor", "recommend", path, "--zoo", path.parent / "none"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == run("recommend", path, zoo=path.parent / "none").stderr


def test_the_core_names_no_flag_of_the_command_line() -> None:
    package = Path(advisor.__file__).parent
    options = {
        option for command in get_command(app).commands.values() for each in command.params for option in each.opts
    }
    assert {"--ttft-limit", "--verify"} <= options
    commands = {package / "cli", package / "bench.py"}  # the second calls the first
    core = [path for path in package.rglob("*.py") if not commands & {path, *path.parents}]
    assert len(core) > 20
    named = {
        (path.name, word)
        for path in core
        for word in re.findall(r"--[a-z][a-z-]+", path.read_text())
        if word in options - {"--max-loras", "--max-lora-rank", "--model"}  # of vLLM, too
    }
    assert named == set()


def test_recommend_pays_for_no_heavy_import_and_no_thread(zoo: Path, tmp_path: Path) -> None:
    path = inventories.write(tmp_path)
    code = f"""
import sys
sys.argv = ["advisor", "recommend", {str(path)!r}, "--zoo", {str(zoo)!r}, "--format", "args"]
from advisor.cli.main import main
try:
    main()
finally:
    heavy = {{"numba", "sklearn", "scipy", "pandas", "onnx", "rich", "jinja2", "yaml", "twin.engine", "skl2onnx"}}
    print(sorted(heavy & set(sys.modules)), file=sys.stderr)
    from threadpoolctl import threadpool_info
    print({{pool["num_threads"] for pool in threadpool_info() if pool["internal_api"] == "openblas"}}, file=sys.stderr)
"""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith("--enable-lora")
    assert done.stderr == "[]\n{1}\n"


def test_the_shipped_zoo_answers_from_another_directory(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "examples" / "inventory.toml"
    path = shutil.copy(example, tmp_path)
    done = subprocess.run(
        [COMMAND, "recommend", path, "--format", "json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["pair"] == "llama-3.1-8b-instruct--h100-64gb"


def test_a_terminal_without_the_letters_of_a_name(zoo: Path, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, PLAIN.replace('"tenant"', '"naïve-😀"').replace("rate = 0.1", "rate = 0.6"))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for form in ("text", "toml"):
        words = [COMMAND, "recommend", path, "--format", form, "--zoo", zoo]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_what_lets_a_server_start_that_does_not(run: Run, tmp_path: Path) -> None:
    small = PLAIN.replace("example/Tiny-1B", "llama-3.1-8b-instruct").replace("test-gpu", "l4").replace("60", "2")
    words = ("simulate", inventories.write(tmp_path, small), "--max-loras", "3", "--duration", "60", "--format", "json")
    done = run(*words, zoo=None)
    assert done.returncode == 0 and json.loads(done.stdout)["oom"]
    (needed,) = re.findall(r"max_model_len = (\d+) in \[server\]", done.stderr)
    inventories.write(tmp_path, f"{small}\n[server]\nmax_model_len = {needed}\n")
    done = run(*words, zoo=None)
    assert done.returncode == 0 and not json.loads(done.stdout)["oom"] and "does not start" not in done.stderr
