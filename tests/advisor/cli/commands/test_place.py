"""`advisor place` as an operator runs it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path

import jsonschema
import pytest
import yaml

from advisor.report.schemas.placement import placement_schema
from tests.advisor import inventories
from tests.advisor.cli.command import COMMAND, Run
from tests.advisor.inventories import PLAIN
from tests.advisor.small_zoo import NAME
from tests.schemas import closed

BUSY = PLAIN.replace("rate = 0.1", "rate = 0.4")


def answer(run: Run, *words: str | Path, code: int = 0) -> dict:  # type: ignore[type-arg]
    done = run("place", *words, "--format", "json")
    assert (done.returncode, done.stderr) == (code, ""), done.stderr
    found = json.loads(done.stdout)
    jsonschema.validate(found, closed(placement_schema()))
    return found  # type: ignore[no-any-return]


def test_json_and_yaml_have_the_documented_keys(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, BUSY)
    found = answer(run, path)
    assert yaml.safe_load(run("place", path, "--format", "yaml").stdout) == found
    assert found["gpus"] == len(found["assignments"]) > 1
    assert found["lower_bound"] >= 1
    assert (found["unplaced"], found["warnings"], found["optimal"]) == ([], [], found["gpus"] == found["lower_bound"])
    names = [name for each in found["assignments"] for name in each["adapters"]]
    assert sorted(names) == sorted([f"sql-{i}" for i in range(60)] + ["tenant"])
    for gpu, each in enumerate(found["assignments"]):
        assert (each["gpu"], each["pair"], each["gpu_type"]) == (gpu, NAME, "test-gpu")
        assert each["expected"]["steady"] is True
        assert each["flags"]["max_cpu_loras"] > len(each["adapters"])
        assert f"--max-loras={each['flags']['max_loras']}" in each["args"]
        assert 0 < each["load"] < 1.1


def test_text_tells_the_same(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, BUSY)
    found, text = answer(run, path), run("place", path).stdout
    assert text.startswith(f"{found['gpus']} GPUs serve all 61 adapters")
    rows = [line.split() for line in text.splitlines() if line.lstrip()[:1].isdigit() and "█" in line]
    assert [int(row[0]) for row in rows] == [each["gpu"] for each in found["assignments"]]
    for row, each in zip(rows, found["assignments"], strict=True):
        assert f"{len(each['adapters']):,}" in row
        assert f"{each['expected']['ttft_ms']:,.0f}" == row[-1]


def test_a_fixed_number_of_gpus(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, BUSY)
    found = answer(run, path, "--gpus", "1")
    assert found["gpus"] == 1
    assert {each["reason"] for each in found["unplaced"]} == {"no room on 1 GPU"}
    assert run("place", path, "--gpus", "1", "--strict").returncode == 1
    assert "On no GPU\n  sql-" in run("place", path, "--gpus", "1").stdout
    assert answer(run, path, "--gpus", "6")["unplaced"] == []
    assert run("place", path, "--gpus", "6", "--strict").returncode == 0


def test_requests_that_name_no_adapter(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, BUSY + "\n[base]\nrate = 2\n")
    assert run("place", path, "--base", "own", "--router", "json", "-o", tmp_path / "own").returncode == 0
    own = answer(run, path, "--base", "own")
    shares = {each["gpu"]: each["base"] for each in own["assignments"] if "base" in each}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert all(bool(each["adapters"]) != ("base" in each) for each in own["assignments"])
    router = json.loads((tmp_path / "own" / "router.json").read_text())
    assert {target["server"] for target in router["base"]} == {f"gpu-{gpu}" for gpu in shares}
    spread = answer(run, path, "--base", "spread")
    assert (own["base"], spread["base"]) == ("own", "spread")
    assert {each["base"] for each in spread["assignments"]} == {round(1 / spread["gpus"], 6)}
    assert "Requests that name no adapter\n  all of them to GPU " in run("place", path, "--base", "own").stdout
    assert run("place", path, "--base", "elsewhere").returncode == 2
    assert run("place", path, "--base", "own", "--gpus", "1").returncode == 0  # that there are too few is no surprise
    few = run("place", path, "--base", "own", "--gpus", "1", "--strict")
    assert (few.returncode, "served by none: no room" in few.stdout) == (1, True)


def test_several_inventories_are_placed_each_by_itself(run: Run, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.toml" for name in ("one", "two")]
    for path, rate in zip(paths, ("0.4", "0.2"), strict=True):
        path.write_text(PLAIN.replace("rate = 0.1", f"rate = {rate}"))
    alone = [answer(run, path) for path in paths]
    both = answer(run, *paths)
    assert both["gpus"] == sum(each["gpus"] for each in alone)
    assert both["placements"] == [{"inventory": str(path), **each} for path, each in zip(paths, alone, strict=True)]
    text = run("place", *paths).stdout
    assert [line for line in text.splitlines() if line.endswith(".toml")] == [str(path) for path in paths]
    done = run("place", *paths, "-t", "compose", "--router", "json", "-o", tmp_path / "launch")
    assert done.returncode == 0
    for path, each in zip(paths, alone, strict=True):
        written = {file.name for file in (tmp_path / "launch" / path.stem).iterdir()}
        assert written == {"router.json", *(f"gpu-{gpu}.compose.yaml" for gpu in range(each["gpus"]))}
    again = run("place", paths[0], paths[0], "-t", "compose", "-o", tmp_path / "again")
    assert (again.returncode, "two inventories of one name" in again.stderr) == (2, True)
    assert run("place", *paths, "--previous", paths[0]).returncode == 2


def test_prices_of_several_add_up_without_digits_that_mean_nothing(run: Run, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.toml" for name in ("one", "two")]
    for path, price in zip(paths, ("2.6", "5.2"), strict=True):
        path.write_text(PLAIN.replace("gpu = ", f"[[gpus]]\nprice = {price}\ntype = ").replace("0.1", "0.01"))
    assert answer(run, *paths)["price"] == 7.8


def test_no_more_gpus_are_told_of_than_there_are(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, BUSY.replace("gpu = ", "[[gpus]]\nat_most = 1\ntype = "))
    found = answer(run, path, "--gpus", "3")
    assert found["gpus"] == 1
    assert {each["reason"] for each in found["unplaced"]} == {"no room on 1 GPU"}
    assert answer(run, path, code=1)["unplaced"]  # nobody said on the command line how many there are


def test_that_no_gpu_may_fail_is_a_no(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, PLAIN.replace("gpu = ", "[[gpus]]\nat_most = 1\ntype = "))
    assert run("place", path).returncode == 0
    (warning,) = answer(run, path, "--n-plus-one", code=1)["warnings"]
    assert warning.startswith("no spare GPU serves what these do")


def test_adapters_that_all_exceed_a_gpu_are_placed(run: Run, tmp_path: Path) -> None:
    giants = '[[adapters]]\nname = "giant"\nrank = 8\nrate = 900\ncount = 2\n'
    path = inventories.write(tmp_path, PLAIN.split("[[adapters]]")[0] + giants)
    found = answer(run, path)
    assert found["unplaced"] == []
    assert found["gpus"] >= 2


def test_what_no_gpu_serves_is_told_and_the_rest_is_placed(run: Run, tmp_path: Path) -> None:
    text = PLAIN + '[[adapters]]\nname = "giant"\nrank = 8\nrate = 900\nreplicas = 1\n'
    text += '[[adapters]]\nname = "lost"\nrank = 8\nrate = 0.01\ngpu = 3\n'
    found = answer(run, inventories.write(tmp_path, text), "--gpus", "2", code=1)
    reasons = {each["name"]: each["reason"] for each in found["unplaced"]}
    assert reasons.keys() == {"giant", "lost"}
    assert reasons["giant"].startswith("no GPU serves it, even alone: ")
    assert reasons["lost"] == "pinned to GPU 3, but there are 2 GPUs, numbered from 0"
    assert sum(len(each["adapters"]) for each in found["assignments"]) == 61


def test_the_inventory_says_who_goes_where(run: Run, tmp_path: Path) -> None:
    types = '[[gpus]]\ntype = "test-gpu"\nprice = 2.5\nat_most = 4\n'
    text = PLAIN.replace('gpu = "test-gpu"', types) + "gpu = 2\n"
    text += '[[adapters]]\nname = "pair"\ncount = 2\nrank = 8\nrate = 0.01\napart = "pair"\n'
    text += '[[adapters]]\nname = "twice"\nrank = 8\nrate = 0.02\nreplicas = 2\n'
    found = answer(run, inventories.write(tmp_path, text))
    on = {name: [] for name in ("tenant", "pair-0", "pair-1", "twice")}
    for each in found["assignments"]:
        for name in on.keys() & set(each["adapters"]):
            on[name].append(each["gpu"])
        assert each.get("weights", {"twice": 0.5}) == {"twice": 0.5}
    assert on["tenant"] == [2]
    assert len(on["twice"]) == 2
    assert on["pair-0"] != on["pair-1"]
    assert found["price"] == 2.5 * found["gpus"]


def test_files_for_every_gpu_and_the_router(run: Run, tmp_path: Path) -> None:
    path, out = inventories.write(tmp_path, BUSY), tmp_path / "launch"
    words = ["place", path, "-t", "compose", "-t", "serve", "--router", "nginx", "--router", "json", "-o", out]
    done = run(*words)
    assert done.returncode == 0
    assert "adapters have no source in the inventory" in done.stderr
    gpus = answer(run, path)["gpus"]
    wanted = {f"gpu-{gpu}.{file}" for gpu in range(gpus) for file in ("compose.yaml", "serve.sh")}
    assert {each.name for each in out.iterdir()} == wanted | {"router.nginx.conf", "router.json"}
    assert os.access(out / "gpu-0.serve.sh", os.X_OK)
    routes = json.loads((out / "router.json").read_text())
    assert routes["servers"] == {f"gpu-{gpu}": f"http://gpu-{gpu}:8000" for gpu in range(gpus)}
    again = run(*words)
    assert (again.returncode, again.stdout) == (2, done.stdout)
    assert "already there; --force replaces it" in again.stderr
    assert run(*words, "--force", "--url", "http://10.0.0.1{gpu}:80").returncode == 0
    assert json.loads((out / "router.json").read_text())["servers"]["gpu-1"] == "http://10.0.0.11:80"


def test_a_name_that_one_format_cannot_say_costs_no_more_than_that_format(run: Run, tmp_path: Path) -> None:
    path, out = inventories.write(tmp_path, PLAIN.replace('"tenant"', '"a*b"')), tmp_path / "launch"
    words = ["place", path, "-t", "compose", "--router", "litellm", "--router", "json", "-o"]
    done = run(*words, out)
    assert (done.returncode, done.stdout) == (2, run("place", path).stdout)
    refused = "'a*b': LiteLLM takes names without * and not of os.environ/ alone; nothing is written for litellm"
    assert refused in done.stderr
    assert {each.name for each in out.iterdir()} == {"gpu-0.compose.yaml", "router.json"}
    own = tmp_path / "own.txt.j2"
    own.write_text("{{ adapters[0].name | only('[a-z]+', 'lower case', 'Ours') }}")
    done = run("place", path, "-t", own, "--router", "litellm", "-o", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, run("place", path).stdout)
    assert done.stderr.count("nothing is written for") == 2
    assert not (tmp_path / "none").exists()


def test_the_answer_is_told_where_its_files_cannot_be_written(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, PLAIN)
    done = run("place", path, "--format", "json", "-t", "compose", "-o", path)
    assert (done.returncode, json.loads(done.stdout)) == (2, answer(run, path))
    assert "cannot write: not a directory" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-t", "compose"], "need a directory to write to: add -o DIR"),
        (["-o", "x"], "nothing to write into a directory: add --template NAME or --router NAME"),
        (["--algorithm", "pcking"], "no algorithm 'pcking'; did you mean 'packing'?; there are "),
        (["--router", "ngnix", "-o", "x"], "no router 'ngnix'; did you mean 'nginx'?"),
        (["-t", "compse", "-o", "x"], "compse: cannot read: No such file or directory"),
        (["-t", "compose", "-o", "x", "--vllm", "soon"], "vLLM 'soon': not a version, such as 0.32 or 0.32.0"),
        (["--url", "localhost"], "not where a server answers: 'localhost'"),
        (["--gpus", "0"], "Input should be greater than or equal to 1"),
        (["--gpus", "1", "--n-plus-one"], "one GPU may fail, so that two are needed at least"),
        (["--itl-limit", "9ms"], "--itl-limit belongs to --objective latency"),
        (
            ["--previous", "none.json"],
            "none.json: cannot read: No such file or directory; an earlier placement",
        ),
        (["--headroom", "-1"], "Input should be greater than or equal to 0"),
    ],
)
def test_bad_usage_is_told_in_one_line(run: Run, tmp_path: Path, words: list[str], message: str) -> None:
    done = run("place", inventories.write(tmp_path), *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.startswith("advisor: ")
    assert done.stderr.count("\n") == 1


def test_a_plan_from_the_placement_before(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, BUSY)
    before = tmp_path / "before.json"
    before.write_text(run("place", path, "--format", "json").stdout)
    same = answer(run, path, "--previous", before)
    assert same["changes"]["steps"] == []
    assert same["assignments"] == json.loads(before.read_text())["assignments"]
    assert "Changes\n  nothing: all adapters stay where they are" in run("place", path, "--previous", before).stdout
    grown = inventories.write(tmp_path, BUSY + '[[adapters]]\nname = "new"\nrank = 8\nrate = 0.01\n')
    found = answer(run, grown, "--previous", before)
    assert (found["changes"]["moved"], found["changes"]["added"], found["changes"]["kept"]) == ([], ["new"], 61)
    assert [step["step"] for step in found["changes"]["steps"]] == ["add"]
    shrunk = inventories.write(tmp_path, BUSY.replace("count = 60", "count = 58"))
    found = answer(run, shrunk, "--previous", before, code=1)
    assert sorted(found["changes"]["removed"]) == ["sql-58", "sql-59"]
    assert found["warnings"] == ["2 adapters of the previous placement are not in the inventory: sql-58, sql-59"]


@pytest.mark.parametrize("flag", [{"zzz": 1}, {"max_loras": -5}, {"max_num_seqs": 0.5}])
def test_an_earlier_placement_has_flags_of_vllm(run: Run, tmp_path: Path, flag: dict[str, float]) -> None:
    path = inventories.write(tmp_path, PLAIN)
    before = json.loads(run("place", path, "--format", "json").stdout)
    before["assignments"][0]["flags"] |= flag
    (tmp_path / "before.json").write_text(json.dumps(before))
    done = run("place", path, "--previous", tmp_path / "before.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"assignments.0.flags.{next(iter(flag))}: " in done.stderr
    assert done.stderr.count("\n") == 1


def test_any_gpu_may_fail(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, BUSY)
    found = answer(run, path, "--n-plus-one")
    assert found["gpus"] == answer(run, path)["gpus"] + 1
    (spare,) = (each for each in found["assignments"] if "standby" in each)
    assert (spare["adapters"], len(spare["standby"])) == ([], 61)
    assert "If a GPU fails\n  GPU" in run("place", path, "--n-plus-one").stdout
    done = run("place", path, "--n-plus-one", "-t", "load-adapters", "--router", "json", "-o", tmp_path / "out")
    assert done.returncode == 0
    routes = json.loads((tmp_path / "out" / "router.json").read_text())
    assert all(
        targets[-1] == {"server": f"gpu-{spare['gpu']}", "standby": True} for targets in routes["adapters"].values()
    )


def test_the_twin_verifies(run: Run, tmp_path: Path) -> None:
    path = inventories.write(tmp_path, PLAIN)
    found = json.loads(run("place", path, "--verify", "--format", "json").stdout)
    assert all(each["verified"]["missed"] == [] for each in found["assignments"])
    assert "Digital twin\n  " in run("place", path, "--exact").stdout


def test_the_routers_are_named(run: Run) -> None:
    done = run("place", "--routers", zoo=None)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["gateway-api", "json", "litellm", "nginx"]


def test_interrupted_it_says_what_it_has(zoo: Path, tmp_path: Path) -> None:
    text = PLAIN.replace("count = 60", "count = 3000")
    text += "".join(f'[[adapters]]\nname = "x{i}"\nrank = {1 + i % 64}\nrate = {0.01 + i / 9000}\n' for i in range(900))
    command = [COMMAND, "place", inventories.write(tmp_path, text), "--time", "10m", "--zoo", zoo, "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(3)  # it takes longer, and has something by then; on a busy machine nothing yet
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors
    if process.returncode == 130 and out:
        # The signal may also come when all is found and being written.
        told = "advisor: interrupted: this is the best placement found by then\n"
        assert errors == (told if json.loads(out).get("interrupted") else "")
    else:
        assert process.returncode in (0, 130)


def test_bars_are_drawn_on_a_terminal_alone(zoo: Path, tmp_path: Path) -> None:
    """Progress goes to stderr, of what is simulated as the share of the GPUs, and nothing but text to stdout."""
    leader, follower = pty.openpty()
    command = [COMMAND, "place", inventories.write(tmp_path, BUSY), "--verify", "--zoo", zoo]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower, env=os.environ | {"TERM": "xterm"}) as work:
        os.close(follower)
        drawn = b""
        with contextlib.suppress(OSError):  # the terminal has no other end any more
            while part := os.read(leader, 4096):
                drawn += part
        os.close(leader)
        assert work.stdout is not None and b"\x1b" not in work.stdout.read()
    assert work.returncode == 0
    assert re.search(rb"simulating GPUs: [0-9]+ of [0-9]+", drawn)
    # What nobody knows the end of is drawn character by character, a share in one piece.
    assert re.search("━{5}[^\r\n]*simulating GPUs", drawn.decode(errors="replace"))
    assert not re.search("━{5}[^\r\n]*sets? of adapters tried", drawn.decode(errors="replace"))


def test_without_the_letters_for_bars(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = run("place", inventories.write(tmp_path, BUSY))
    assert done.returncode == 0
    assert re.search(r"  #+-* +\d+%  #+-* \d+/\d+  ", done.stdout)
    assert "\\u" not in done.stdout
