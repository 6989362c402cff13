"""`advisor check`, as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from advisor.bench import LAUNCHER
from advisor.check.rules import RULES
from tests.advisor.check.commands import INVENTORY, MODEL

COMMAND = Path(sys.executable).with_name("advisor")
Run = Callable[..., subprocess.CompletedProcess[str]]
GOOD = f"""\
services:
  engine:
    image: vllm/vllm-openai:v0.8.5
    command: [--model={MODEL}, --enable-lora, --max-loras=32, --max-cpu-loras=64, --max-lora-rank=16]
"""
BAD = GOOD.replace("--max-lora-rank=16", "--max-lora-rank=8")
WASTEFUL = GOOD.replace("--max-lora-rank=16", "--max-lora-rank=32")
TEMPLATE = "args:\n  {{- if .Values.lora }}\n  - --enable-lora --max-loras={{ .Values.slots }} vllm\n  {{- end }}\n"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `advisor check` in a folder with an inventory."""
    (tmp_path / "inventory.toml").write_text(INVENTORY)
    for name, text in (("good", GOOD), ("bad", BAD), ("wasteful", WASTEFUL), ("template", TEMPLATE)):
        (tmp_path / f"{name}.yaml").write_text(text)

    def run(*words: str | Path, stdin: str | bytes = "", **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [COMMAND, "check", *words],
            cwd=tmp_path,
            input=stdin if isinstance(stdin, bytes) else stdin.encode(),
            capture_output=True,
            check=False,
            timeout=60,
            env={**os.environ, **environment},
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


AGAINST = ("--inventory", "inventory.toml")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["good.yaml"], 0),
        (["bad.yaml"], 1),
        (["wasteful.yaml"], 0),
        (["wasteful.yaml", "--fail-on", "warning"], 1),
        (["bad.yaml", "--exit-zero"], 0),
        (["good.yaml", "bad.yaml"], 1),
        (["bad.yaml", "--ignore", "AD101"], 0),
        (["bad.yaml", "--ignore", "AD1,AD2"], 0),
        (["bad.yaml", "--select", "AD2", "--select", "AD3"], 0),
        (["bad.yaml", "--select", "adapter-rank-above-max-lora-rank"], 1),
        (["template.yaml"], 2),
        (["missing.yaml"], 2),
        (["template.yaml", "good.yaml", "--exit-zero"], 2),
    ],
)
def test_exit_codes_are_those_of_ruff(run: Run, words: list[str], code: int) -> None:
    done = run(*words, *AGAINST)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert len(done.stderr.splitlines()) == (1 if code == 2 else 0)


def test_without_an_inventory_what_the_file_tells_is_judged(run: Run, tmp_path: Path) -> None:
    assert run("bad.yaml").returncode == 0
    (tmp_path / "less.yaml").write_text(GOOD.replace("--max-cpu-loras=64", "--max-cpu-loras=8"))
    done = run("less.yaml")
    assert done.returncode == 1
    assert "less.yaml:4:" in done.stdout


def test_what_cannot_be_read_leaves_the_others_in_peace(run: Run) -> None:
    done = run("template.yaml", "bad.yaml", "missing.yaml", "--format", "json", *AGAINST)
    assert done.returncode == 2
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == ["template.yaml", "missing.yaml"]
    document = json.loads(done.stdout)
    assert [each["code"] for each in document["findings"]] == ["AD101"]
    assert ["unreadable" in each for each in document["files"]] == [True, False, True]


def test_folders_are_searched_and_the_standard_input_is_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "template.yaml").unlink()
    done = run(".", *AGAINST, "--format", "json")
    assert {each["file"] for each in json.loads(done.stdout)["files"]} == {"good.yaml", "bad.yaml", "wasteful.yaml"}
    done = run("-", *AGAINST, stdin=BAD)
    assert done.returncode == 1
    assert done.stdout.startswith("-:4:")
    done = run("-", *AGAINST, stdin=b"\xff\xfe")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_settings_of_the_project_hold_unless_the_command_says_otherwise(run: Run, tmp_path: Path) -> None:
    (tmp_path / "advisor.toml").write_text(
        'inventory = "inventory.toml"\nfail-on = "warning"\nexclude = ["template*"]\n'
    )
    assert run("bad.yaml").returncode == 1
    assert run("wasteful.yaml").returncode == 1
    assert run("wasteful.yaml", "--fail-on", "error").returncode == 0
    assert run(".").returncode == 1
    (tmp_path / "advisor.toml").write_text('inventory = "nowhere.toml"\n')
    done = run("bad.yaml")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    (tmp_path / "advisor.toml").write_text('inventry = "nowhere.toml"\n')
    assert "did you mean 'inventory'?" in run("bad.yaml").stderr


def test_version_and_limit_of_the_project_hold_too(run: Run, tmp_path: Path) -> None:
    ten = GOOD.replace("max-loras=32", "max-loras=10").replace(":v0.8.5", "")
    (tmp_path / "ten.yaml").write_text(ten.replace("]", ", --async-scheduling]"))
    (tmp_path / "advisor.toml").write_text('inventory = "inventory.toml"\n')
    assert run("ten.yaml").returncode == 0
    (tmp_path / "advisor.toml").write_text('inventory = "inventory.toml"\nvllm = "0.8.5"\n')
    assert "[AD408]" in run("ten.yaml").stdout
    assert run("ten.yaml", "--vllm", "0.32").returncode == 0
    (tmp_path / "advisor.toml").write_text('inventory = "inventory.toml"\nttft-limit = "100ms"\n')
    assert "[AD201]" in run("ten.yaml").stdout
    assert "[AD201]" not in run("ten.yaml", "--ttft-limit", "2s").stdout


@pytest.mark.usefixtures("run")
def test_five_hundred_manifests_take_seconds_and_little_memory(tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for i in range(500):
        text = GOOD.replace("max-loras=32", f"max-loras={i % 64 + 1}").replace("engine", f"engine-{i}")
        (many / f"{i}.yaml").write_text(text)
    words = [str(COMMAND), "check", "many", "--inventory", "inventory.toml", "--exit-zero"]
    took = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    _, cpu_s, peak_kib = map(float, took.stdout.split())
    assert cpu_s < 5
    assert peak_kib < 200 * 1024


def test_an_inventory_that_cannot_be_read_is_told_once(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.toml").write_text(INVENTORY.replace("rank = 16", "rank = 0"))
    done = run("good.yaml", "bad.yaml", *AGAINST)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name files or folders"),
        (["bad.yaml", "--diff", "--fix"], "take one of them"),
        (["bad.yaml", "--select", "XY1"], "no rule 'XY1'"),
        (["bad.yaml", "--vllm", "new"], "not a version"),
        (["--explain", "AD1O1"], "no rule 'AD1O1'"),
        (["bad.yaml", "--format", "xml"], "'xml'"),
    ],
)
def test_mistakes_in_the_arguments_are_told_in_one_line(run: Run, words: list[str], told: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert told in done.stderr


def test_every_rule_is_explained(run: Run) -> None:
    listed = run("--explain", "all").stdout.splitlines()
    assert [line.split()[0] for line in listed] == list(RULES)
    by_code, by_name = run("--explain", "ad103"), run("--explain", "max-cpu-loras-below-max-loras")
    assert by_code.stdout == by_name.stdout
    assert by_code.stdout.startswith("AD103 max-cpu-loras-below-max-loras (error)\n\n")


def test_diff_shows_a_patch_and_changes_nothing(run: Run, tmp_path: Path) -> None:
    done = run("bad.yaml", "good.yaml", "--diff", *AGAINST)
    assert done.returncode == 1
    assert (tmp_path / "bad.yaml").read_text() == BAD
    patched = subprocess.run(
        ["git", "apply", "-"], cwd=tmp_path, input=done.stdout, text=True, capture_output=True, check=False
    )
    assert (patched.returncode, patched.stderr) == (0, "")
    assert (tmp_path / "bad.yaml").read_text() == GOOD
    done = run("bad.yaml", "--diff", *AGAINST)
    assert (done.returncode, done.stdout) == (0, "")


def test_fix_writes_what_is_sure_and_tells_the_rest(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    raw = b"\xef\xbb\xbf" + BAD.replace("\n", "\r\n").encode()
    path.write_bytes(raw)
    path.chmod(0o640)
    done = run("bad.yaml", "--fix", *AGAINST)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_bytes() == raw.replace(b"rank=8", b"rank=16")
    assert path.stat().st_mode & 0o777 == 0o640
    before = path.stat().st_mtime_ns
    assert run("bad.yaml", "--fix", *AGAINST).returncode == 0
    assert path.stat().st_mtime_ns == before
    starving = GOOD.replace("--enable-lora", "--enable-lora=true, --max-loras=1")
    done = run("-", "--fix", *AGAINST, stdin=starving)
    assert (done.returncode, done.stdout) == (0, starving.replace("--enable-lora=true", "--enable-lora"))


def test_fix_follows_no_link_and_leaves_what_it_cannot_write(run: Run, tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to("bad.yaml")
    done = run("link.yaml", "--fix", *AGAINST)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert (tmp_path / "bad.yaml").read_text() == BAD
    assert (tmp_path / "link.yaml").is_symlink()


def test_colour_is_for_terminals_alone(run: Run, tmp_path: Path) -> None:
    assert "\033" not in run("bad.yaml", *AGAINST).stdout

    def shown(**environment: str) -> str:
        controller, terminal = pty.openpty()
        words = [COMMAND, "check", "bad.yaml", *AGAINST]
        plain = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
        with subprocess.Popen(
            words, cwd=tmp_path, stdout=terminal, stderr=terminal, env=plain | environment
        ) as process:
            os.close(terminal)
            parts = []
            while True:
                try:
                    parts.append(os.read(controller, 65536))
                except OSError:  # how Linux says that nobody writes any more
                    break
                if not parts[-1]:
                    break
            process.wait(timeout=60)
        os.close(controller)
        return b"".join(parts).decode()

    assert "\033[1;31merror\033[0m" in shown()
    assert "\033" not in shown(NO_COLOR="1")
    assert "\033" not in shown(TERM="dumb")


def test_servers_of_a_fleet_are_judged_by_their_own_adapters(run: Run, tmp_path: Path) -> None:
    text = INVENTORY.replace("rate = 0.05", "rate = 2.5").replace("rank = 16", 'source = "org/legal"\nrank = 16')
    (tmp_path / "fleet.toml").write_text(text.replace("rank = 8", 'source = "org/support"\nrank = 8'))
    place = [COMMAND, "place", "fleet.toml", "-t", "compose", "-o", "launch", "--format", "json"]
    placed = subprocess.run(place, cwd=tmp_path, capture_output=True, text=True, check=True)
    (tmp_path / "today.json").write_text(placed.stdout)
    assert json.loads(placed.stdout)["gpus"] > 1
    against = ("--inventory", "fleet.toml")
    together = run("launch", *against)
    assert (together.returncode, together.stderr) == (0, ""), together.stdout
    alone = run("launch/gpu-0.compose.yaml", *against)
    assert "say by a placement who is where" in alone.stderr
    known = run("launch/gpu-0.compose.yaml", *against, "--placement", "today.json")
    assert (known.returncode, known.stderr) == (0, ""), known.stdout
    (tmp_path / "strayed.yaml").write_text(
        (tmp_path / "launch/gpu-0.compose.yaml").read_text().replace("gpu-0", "gpu-1")
    )
    strayed = run("strayed.yaml", *against, "--placement", "today.json", "--select", "AD403")
    assert "is on GPU 0 by the placement" in strayed.stdout
    stranger = run("good.yaml", *against, "--placement", "today.json")
    assert "no server of the placement" in stranger.stderr
    assert run("good.yaml", "--placement", "today.json").returncode == 2
