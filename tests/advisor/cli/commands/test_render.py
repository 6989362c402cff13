"""`advisor render` as it is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.advisor import inventories
from tests.advisor.cli.command import Run
from tests.advisor.inventories import PLAIN


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


def test_a_template_of_ones_own_imports_nothing_from_where_it_is_rendered(run: Run, tmp_path: Path) -> None:
    (tmp_path / "jinja2.py").write_text("raise SystemExit('imported')")
    (tmp_path / "own.txt.j2").write_text("{{ vllm }} {{ adapters | length }}")
    done = run("render", inventories.write(tmp_path), "-t", "own.txt.j2")
    assert (done.returncode, done.stdout) == (0, "0.8.5 61\n")
